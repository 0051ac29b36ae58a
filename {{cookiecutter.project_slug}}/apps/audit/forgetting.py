"""Forgetting a person: personal values and names give way to a mark, and all else stays.

An entry of the action ``forget`` lists up to 1,000 entries whose parts are replaced. It is written
in the same transaction, and says who has done so, when and why.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from functools import reduce
from itertools import batched
from operator import or_
from typing import Any, Final, NamedTuple, cast

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import Error, connections, router, transaction
from django.db.models import ForeignKey, Model, Q, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from apps.core import modules
from apps.core.actor import current_actor

from . import fingerprints, registry, seals, triggers
from .capture import MOST_OF_TWO
from .context import actor_id, who_acts
from .fingerprints import GONE, SALT, Opening, Row
from .lineage import MODEL, Names
from .models import Entry, Seal
from .presentation import harmless, model_of
from .registry import Audited
from .values import FORGOTTEN, pointed_to

BATCH: Final = 1000
# Of characters, also in the page of the admin.
MOST_OF_A_REASON: Final = 500
# How the values of a mapping take the place of those that an entry has.
MERGED: Final[dict[str, Any]] = {
    "postgresql": lambda values: ("changes || %s::jsonb", [json.dumps(values)]),
    "sqlite": lambda values: (
        f"json_set(changes{', %s, json(%s)' * len(values)})",
        [each for name, one in values.items() for each in (f'$."{name}"', json.dumps(one))],
    ),
}


class CannotForgetError(Exception):
    """Raised when a person cannot be forgotten, or was not in all databases; in one sentence."""


class Person:
    """An object whose model has personal fields, on the trail of one database.

    ``about`` has the ids of the entries about the person: those of the object, of objects that
    belong to it, and of failed logins. ``by`` has those of what the person did. ``logged`` has
    those of the admin's own log with names of these objects. ``audited`` maps the labels of these
    objects to what is recorded of them. ``row`` selects the object, which may be deleted by now.
    ``label`` is that of the model, ``"accounts.User"``, and ``key`` its primary key.

    Raises:
        CannotForgetError: for an unknown model, or one without personal fields.
    """

    def __init__(self, label: str, key: str, using: str) -> None:
        self.using, self.entries = using, Entry.objects.using(using)
        self.about, self.by, self.logged = set[int](), set[int](), set[int]()
        self.audited, self.log = dict[str, Audited](), cast("Any", model_of("admin.LogEntry"))
        model: Any = model_of(label)
        if model is None:
            raise CannotForgetError(
                f"There is no model {label!r} in this project; a label is for example accounts.User."
            )
        self.model = model._meta.concrete_model
        self.label, self.key = self.model._meta.label, key
        self.is_user = issubclass(self.model, get_user_model())
        self.family = [one for one in registry.audited_models().values() if self._is_kin(one.model)]
        if not self.is_user and not any(one.personal for one in self.family):
            raise CannotForgetError(
                f"{label} has no personal fields on the trail; name them, for example with"
                f" register({label!r}, personal=['name'])."
            )
        try:
            self.pk = self.model._meta.pk.to_python(key)
            pointed_to(self.model._meta.pk).run_validators(self.pk)
        except ValidationError as error:
            raise self.never_was() from error
        self.key = registry.object_key(self.model, self.pk, using)
        self.row = self._rows(self.model).filter(pk=self.pk)

    def find(self, called: Set[str] = frozenset()) -> "Person":
        """Read which entries are about the person, and which are about what the person did.

        ``called`` has names and addresses of the person that other databases know.
        """
        called = called | self.called()
        # Django's log of the admin has a UUID with dashes, also on SQLite.
        self._add(self.family, {self.key, str(self.pk)})
        # What belongs to a person has personal fields, and a foreign key to the person.
        for one in registry.audited_models().values():
            keys = [each for each in one.model._meta.local_fields if isinstance(each, ForeignKey)]
            for key in keys if one.personal else ():
                if key.target_field.primary_key and self._is_kin(key.related_model):
                    self._add([one], self._owned(one, key))
        if self.is_user:
            tried = self._entries(self.family).filter(object_id="", action="failed")
            # LOWER of SQLite knows only the letters of ASCII. Some failures have no name.
            same = f"^({'|'.join(map(re.escape, called))})$"
            self.about |= _keys(tried.exclude(object_repr="").filter(object_repr__iregex=same))
            acting = (Q(actor_name__endswith=f" (by {name[:MOST_OF_TWO]})") for name in called)
            self.by = _keys(self.entries.filter(reduce(or_, acting, Q(actor=self.pk))))
        return self

    def called(self) -> set[str]:
        """Return the names and addresses under which a user may have tried to log in."""
        self.names = Names(self.entries)
        if not self.is_user:
            return set()
        fields = {self.model.USERNAME_FIELD, self.model.get_email_field_name()}
        there = self.row.first()
        found = {getattr(there, name, None) for name in fields}
        for entries, value in self._values(self.family, fields):
            found.update(entries.filter(object_id=self.key).values_list(value, flat=True))
        return {name for name in found if name}

    def never_was(self) -> CannotForgetError:
        """Return the error for an object that neither a table nor a trail knows."""
        return CannotForgetError(
            f"There is no {self.label} {self.key}, neither in its table nor on the trail; give the"
            " key of an object that there was, for example accounts.User 1."
        )

    def parts(self, entry: Entry, row: Row) -> set[str]:
        """Return the parts of an entry that have to be forgotten, and are not yet."""
        left = [name for name, digest in row.parts if digest != GONE]
        found = {".actor_name"} if entry.pk in self.by and entry.actor_name else set()
        if one := self.audited.get(self.names.label(entry)) if entry.pk in self.about else None:
            today = zip(left, self.names.today(entry, left), strict=True)
            found |= {then for then, now in today if now in one.personal}
            # A failed login has the name that was tried.
            named = (a.name and a.name.name in a.personal for a in registry.covering(one.model))
            if entry.object_repr and (not entry.object_id or any(named)):
                found.add(".object_repr")
        return found & {*left}

    def _is_kin(self, model: type[Model]) -> bool:
        """Whether a row of a model can be a part of the object."""
        return issubclass(self.model, model) or issubclass(model, self.model)

    def _add(self, family: list[Audited], keys: Iterable[str]) -> None:
        """Count the entries of objects of some models as entries about the person."""
        self.audited |= {one.model._meta.label: one for one in family}
        for some in batched(keys, BATCH):
            self.about |= _keys(self._entries(family).filter(object_id__in=some))
            for meta in (one.model._meta for one in family if self.log):
                kind = Q(
                    content_type__app_label=meta.app_label, content_type__model=meta.model_name
                )
                logged = self._rows(self.log).filter(kind, object_id__in=some)
                self.logged |= _keys(logged.exclude(object_repr=FORGOTTEN))

    def _entries(self, family: Iterable[Audited]) -> QuerySet[Entry]:
        labels = [one.model._meta.label for one in family]
        return self.entries.filter(self.names.condition(labels))

    def _rows(self, model: type[Model]) -> QuerySet[Model]:
        """Return the rows of a model; none if a router keeps its table away."""
        rows: QuerySet[Model] = QuerySet(model, using=self.using)
        return rows if router.allow_migrate_model(self.using, model) else rows.none()

    def _owned(self, one: Audited, relation: ForeignKey) -> set[str]:
        """Return the keys of objects that point to the person now, or did so before."""
        rows = self._rows(one.model).filter(**{relation.name: self.pk}).values_list("pk", flat=True)
        found = {registry.object_key(one.model, pk, self.using) for pk in rows}
        if relation.primary_key:
            found.add(self.key)
        for entries, value in self._values([one], {relation.name}):
            owned = entries.alias(to=value).filter(to=str(self.pk))
            found.update(owned.values_list("object_id", flat=True))
        return found

    def _values(
        self, family: list[Audited], fields: set[str]
    ) -> Iterator[tuple[QuerySet[Entry], Any]]:
        """Return the entries of some models, and the text of each old and new value in them."""
        for one in family:
            for span in self.names.spans(one.model._meta.label):
                entries = self.entries.order_by().filter(
                    model_label=span.label, pk__gt=span.after, pk__lte=span.until
                )
                # How the fields were called then.
                former = {then for then, today in span.names.items() if today in fields}
                for name in former | (fields - span.names.keys()):
                    for side in ("old", "new"):
                        yield entries, Cast(KT(f"changes__{name}__{side}"), TextField())


def _keys(rows: QuerySet[Any]) -> set[int]:
    return {*rows.order_by().values_list("pk", flat=True)}


class Result(NamedTuple):
    """The number of entries that were changed in one database, and of rows of other modules."""

    using: str
    entries: int
    rows: int
    is_there: bool


def forget(
    label: str, key: str, reason: str, databases: Collection[str] | None = None
) -> list[Result]:
    """Forget a person in each database with a trail, or in some; each in one transaction.

    ``label`` and ``key`` name the object, as in ``Person``. The reason stays on the trail.

    Raises:
        CannotForgetError: if nothing was done, or not in all databases; the text says which.
    """
    reason = harmless(" ".join(reason.split()))
    if not 0 < len(reason) <= MOST_OF_A_REASON:
        fault = f"has {len(reason):,} characters, but at most {MOST_OF_A_REASON}"
        raise CannotForgetError(
            f"The reason {fault if reason else 'is empty, but it has to'} stay on the trail; for"
            " example 'She asked for it on 3 May'."
        )
    people = [Person(label, key, alias) for alias in databases or triggers.trails()]
    done, called = list[Result](), set[str]()
    try:
        # A name that one database knows can be on the trail of another. All must answer first.
        for person in people:
            called |= person.called()
        for person in people:
            with transaction.atomic(using=person.using):
                result = _forget(person, called, reason)
            done.append(result)
    except (Error, seals.BusyError) as error:
        names = ", ".join(one.using for one in done)
        where = f"it was forgotten in {names}" if done else "nothing was done"
        raise CannotForgetError(
            f"The database {person.using!r} has failed ({' '.join(str(error).split())}): {where}; run it"
            " again."
        ) from error
    if not any(one.about or one.by for one in people) and not any(one.is_there for one in done):
        raise person.never_was()
    return done


def _forget(person: Person, called: Set[str], reason: str) -> Result:
    """Forget a person in one database: what other modules keep, and then what the trail has."""
    using, others = person.using, modules.module_configs() if person.is_user else []
    rows = sum(one.forget(person.pk, using) for one in others)
    # Entries get their salts when they are sealed, also the entries of the changes above.
    for _ in seals.seal(using):
        pass
    # One run at a time: the first seal is the lock, because each run changes what entries keep.
    Seal.objects.using(using).select_for_update().first()
    person.find(called)
    if person.logged:
        logged: QuerySet[Any] = QuerySet(person.log, using=using).filter(pk__in=person.logged)
        rows += logged.update(object_repr=FORGOTTEN, change_message="")
    until = seals.covered(using)
    keys = sorted(key for key in person.about | person.by if key <= until)
    count = sum(_forget_some(person, reason, some) for some in batched(keys, BATCH))
    return Result(using, count, rows, person.row.exists())


def _forget_some(person: Person, reason: str, keys: Collection[int]) -> int:
    """Forget the parts of some entries, and return how many entries those were."""
    found: QuerySet[Entry] = person.entries.filter(pk__in=keys)
    entries = found.defer("changes").in_bulk()
    rows = {row.key: row for row in fingerprints.read(found)}
    parts = {key: some for key, row in rows.items() if (some := person.parts(entries[key], row))}
    if not parts:
        return 0
    fields = defaultdict[str, set[str]](set)
    for key, names in parts.items():
        fields[entries[key].model_label] |= {name for name in names if name[0] != "."}
    said = {
        "reason": reason,
        "fields": {label: sorted(names) for label, names in fields.items()},
        "object": [key for key, names in parts.items() if names != {".actor_name"}],
        "actor": [key for key, names in parts.items() if ".actor_name" in names],
    }
    who = who_acts(current_actor(), person.using)
    if person.is_user and who["actor_id"] == actor_id(person.pk, person.using):
        who["actor_name"] = FORGOTTEN
    about = {"model_label": person.label, "object_id": person.key}
    statement = Entry(**who, **about, action=Entry.Action.FORGET, changes={MODEL: said})
    statement.save(using=person.using)
    salts = _take_salts(person.using, parts.keys())
    for key, names in parts.items():
        opening = rows[key].without(names, salts.get(key, b""), statement.pk)
        _replace(person.using, entries[key], names, opening)
    return len(parts)


def _take_salts(using: str, keys: Collection[int]) -> dict[int, bytes]:
    """Return the salts of some entries, and leave zeros in the seals instead."""
    found, number, left = dict[int, bytes](), 0, sorted(keys)
    links = Seal.objects.using(using).filter(kind=Seal.Kind.ENTRIES).order_by("number")
    while left and (link := links.filter(number__gt=number, until__gte=left[0]).first()):
        held = {key: salt for key, (_, salt) in seals.contents(link).items()}
        found |= {key: held[key] for key in held.keys() & keys}
        salts = b"".join(bytes(SALT) if key in found else salt for key, salt in held.items())
        # The database refuses to change the length, which somebody else may have done.
        if len(salts) == len(link.salts):
            links.filter(pk=link.pk).update(salts=salts)
        number, left = link.number, [key for key in left if key > link.until]
    return found


def _replace(using: str, entry: Entry, names: set[str], opening: Opening) -> None:
    """Put the mark in the place of the parts of an entry."""
    values: dict[str, Any] = {name: {"forgotten": True} for name in names if name[0] != "."}
    connection = connections[using]
    changes, parameters = MERGED[connection.vendor](values | {FORGOTTEN: opening._asdict()})
    columns = [
        FORGOTTEN if f".{name}" in names else getattr(entry, name) for name in fingerprints.NAMES
    ]
    statement = f"UPDATE audit_entry SET object_repr = %s, actor_name = %s, changes = {changes}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} WHERE id = %s", [*columns, *parameters, entry.pk])
