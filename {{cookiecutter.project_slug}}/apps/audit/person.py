"""A person on the trail: which entries are about them, and which parts of these are personal."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import ForeignKey, Model, Q, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Lower

from . import registry
from .fields import pointed_to
from .fingerprints import GONE, Row
from .lineage import Names, Span
from .models import Entry
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
        self.label, self.key, self.using = label, key, using
        self.entries, self.about, self.by = Entry.objects.using(using), set[int](), set[int]()
        try:
            self.model: Any = apps.get_model(label)._meta.concrete_model
        except (LookupError, ValueError) as error:
            raise CannotForgetError(
                f"There is no model {label!r} in this project; a label is for example accounts.User."
            ) from error
        self.label = self.model._meta.label
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
        self.audited: dict[str, Audited] = {}

    def find(self) -> "Person":
        """Read which entries are about the person, and which are about what the person did."""
        self.names, self.audited = Names(self.entries), {}
        self.about = self._of(self.family, {self.key})
        for one, relation in self._relations():
            self.about |= self._of([one], self._owned(one, relation))
        if self.is_user:
            called = self._called()
            names = {name.lower() for name in called}
            tried = self._entries(self.family).filter(object_id="", action="failed")
            # LOWER of SQLite knows only the letters of ASCII.
            same = Q(object_repr__in=called) | Q(name__in=names)
            self.about |= _keys([tried.alias(name=Lower("object_repr")).filter(same)])
            self.by = _keys([self.entries.filter(actor=self.pk)])
            acting = self.entries.filter(actor_name__contains=" (by ", actor_name__endswith=")")
            for key, name in acting.order_by().values_list("pk", "actor_name"):
                if name.rpartition(" (by ")[2][:-1].lower() in names:
                    self.by.add(key)
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

    def _relations(self) -> Iterator[tuple[Audited, ForeignKey]]:
        """Return the models that belong to a person: they have personal fields and a key to it."""
        for one in registry.audited_models().values():
            for field in one.fields if one.personal else ():
                if (
                    isinstance(field, ForeignKey)
                    and field.target_field.primary_key
                    and issubclass(self.model, field.remote_field.model)
                ):
                    yield one, field

    def _of(self, family: Sequence[Audited], keys: Iterable[str]) -> set[int]:
        """Return the ids of the entries of objects of some models."""
        self.audited |= {one.model._meta.label: one for one in family}
        of_models = self._entries(family)
        return _keys(of_models.filter(object_id__in=some) for some in batched(keys, BATCH))

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
        self, family: Iterable[Audited], fields: set[str]
    ) -> Iterator[tuple[QuerySet[Entry], Any]]:
        """Return the entries of some models, and the text of each old and new value in them."""
        for one in family:
            for span in self.names.spans(one.model._meta.label):
                entries = self.entries.order_by().filter(
                    model_label=span.label, pk__gt=span.after, pk__lte=span.until
                )
                for name in _then(span, fields):
                    for side in ("old", "new"):
                        yield entries, Cast(KT(f"changes__{name}__{side}"), TextField())


def _then(span: Span, names: Iterable[str]) -> set[str]:
    """Return how fields of today were called in the entries of a span."""
    today = set(names)
    former = {then for then, now in span.names.items() if now in today}
    return former | (today - span.names.keys())


def _keys(found: Iterable[QuerySet[Entry]]) -> set[int]:
    return {key for entries in found for key in entries.order_by().values_list("pk", flat=True)}
