"""A person on the trail: which entries are about them, and which parts of these are personal."""

from collections.abc import Iterable, Iterator
from itertools import batched
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import ForeignKey, Model, Q, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Lower

from . import registry
from .fields import pointed_to
from .fingerprints import GONE, Row
from .lineage import Names
from .models import Entry
from .presentation import model_of
from .registry import Audited

BATCH: Final = 1000


class CannotForgetError(Exception):
    """Raised when a person cannot be forgotten, or was not in all databases; in one sentence."""


class Person:
    """An object whose model has personal fields, on the trail of one database.

    ``about`` has the ids of the entries about the person: those of the object, of objects that
    belong to it, and of failed logins. ``by`` has those of what the person did. ``audited`` maps
    the labels of these objects to what is recorded of them.

    Args:
        label: the label of the model, ``"accounts.User"``.
        key: the primary key of the object, which may be deleted by now.
        using: the alias of the database.

    Raises:
        CannotForgetError: for an unknown model, or one without personal fields.
    """

    def __init__(self, label: str, key: str, using: str) -> None:
        self.using, self.entries = using, Entry.objects.using(using)
        self.about, self.by, self.audited = set[int](), set[int](), dict[str, Audited]()
        model: Any = model_of(label)
        if model is None:
            raise CannotForgetError(
                f"There is no model {label!r} in this project; a label is for example accounts.User."
            )
        self.model = model._meta.concrete_model
        self.label, self.key = self.model._meta.label, key
        self.is_user = self.model is get_user_model()._meta.concrete_model
        self.family = [
            one
            for one in registry.audited_models().values()
            if issubclass(self.model, one.model) or issubclass(one.model, self.model)
        ]
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

    def find(self) -> "Person":
        """Read which entries are about the person, and which are about what the person did."""
        self.names = Names(self.entries)
        self._add(self.family, {self.key})
        # What belongs to a person has personal fields, and a foreign key to the person.
        for one in registry.audited_models().values():
            keys = [field for field in one.fields if isinstance(field, ForeignKey)]
            for key in keys if one.personal else ():
                if key.target_field.primary_key and issubclass(self.model, key.related_model):
                    self._add([one], self._owned(one, key))
        if self.is_user:
            called = self._called()
            names = {name.lower() for name in called}
            tried = self._entries(self.family).filter(object_id="", action="failed")
            # LOWER of SQLite knows only the letters of ASCII.
            same = Q(object_repr__in=called) | Q(name__in=names)
            self.about |= _keys(tried.alias(name=Lower("object_repr")).filter(same))
            self.by = _keys(self.entries.filter(actor=self.pk))
            acting = self.entries.filter(actor_name__contains=" (by ", actor_name__endswith=")")
            for entry, name in acting.order_by().values_list("pk", "actor_name"):
                if name.rpartition(" (by ")[2][:-1].lower() in names:
                    self.by.add(entry)
        return self

    def is_there(self) -> bool:
        """Whether the table still has the object."""
        return self._rows(self.model).filter(pk=self.pk).exists()

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
            covering = registry.covering(one.model)
            if entry.object_repr and any(a.name and a.name.name in a.personal for a in covering):
                found.add(".object_repr")
        return found & {*left}

    def _add(self, family: list[Audited], keys: Iterable[str]) -> None:
        """Count the entries of objects of some models as entries about the person."""
        self.audited |= {one.model._meta.label: one for one in family}
        for some in batched(keys, BATCH):
            self.about |= _keys(self._entries(family).filter(object_id__in=some))

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
        for entries, value in self._values([one], {relation.name}):
            found.update(
                entries.alias(to=value).filter(to=str(self.pk)).values_list("object_id", flat=True)
            )
        return found

    def _called(self) -> set[str]:
        """Return the names and addresses under which a user may have tried to log in."""
        fields = {self.model.USERNAME_FIELD, self.model.get_email_field_name()}
        there = self._rows(self.model).filter(pk=self.pk).first()
        found = {getattr(there, name, None) for name in fields}
        for entries, value in self._values(self.family, fields):
            found.update(entries.filter(object_id=self.key).values_list(value, flat=True))
        return {name for name in found if name}

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


def _keys(entries: QuerySet[Entry]) -> set[int]:
    return {*entries.order_by().values_list("pk", flat=True)}
