"""Former states of objects, read from the trail, and the way back to them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Field, ForeignKey, ManyToManyField, Model, QuerySet

from . import registry, rows, values
from .models import Entry
from .registry import Audited


class CannotRestoreError(Exception):
    """Raised when a former state cannot be brought back."""


@dataclass(slots=True)
class State:
    """What an object was like at some time.

    ``values`` maps names of fields to Python values, foreign keys to keys; ``links`` maps names
    of many-to-many fields to sets of keys. ``unknown`` names the fields that the trail cannot
    tell: those that are masked and were changed since, those that it does not record, and
    the links of a deleted object that is older than its trail.
    """

    model: type[Model]
    pk: Any
    using: str
    exists: bool
    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, set[Any]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restoration.

    ``unknown`` names the fields that are not restored: they are as they were right before, or
    have their default in an object that had been deleted. ``gone`` maps names of many-to-many
    fields to the keys that they once held and that nobody has any more.
    """

    instance: Model
    unknown: frozenset[str]
    gone: dict[str, set[Any]]


def state_after(entry: Entry) -> State:
    """Return the state of an object right after one of its entries.

    Raises:
        CannotRestoreError: when the project no longer has the model, or does not audit it.
    """
    using = entry._state.db or DEFAULT_DB_ALIAS
    for model in registry.audited_models():
        if model._meta.label == entry.model_label:
            return _state(model, entry.object_id, entry.pk, using)
    raise CannotRestoreError(f"{entry.model_label} is no audited model of this project any more.")


def state_at(
    model: type[Model], pk: Any, moment: datetime, *, using: str = DEFAULT_DB_ALIAS
) -> State:
    """Return the state of an object at some time.

    Args:
        model: the model of the object.
        pk: its key.
        moment: the time; later entries are undone.
        using: the alias of the database.

    Raises:
        CannotRestoreError: when the model is not audited.
    """
    entries = Entry.objects.using(using).of(model(pk=pk)).filter(created_at__lte=moment)
    last = entries.values_list("pk", flat=True).first()
    return _state(model, pk, -(2**63) if last is None else last, using)


def restore(state: State) -> Restored:
    """Bring an object back to a former state; one that was deleted gets its old key.

    It is saved and linked as usual, so its receivers run and the trail records it. Nothing
    is restored of other objects: what a deletion took along has to be restored after it.

    Raises:
        CannotRestoreError: when the object was not there in that state, or when a foreign key
            leads to an object that is no longer there.
        IntegrityError: when another object has a unique value by now.
    """
    model, using = state.model, state.using
    name = f"{model._meta.verbose_name} {state.pk}"
    if not state.exists:
        raise CannotRestoreError(f"There was no {name} then. To get there, delete it.")
    fields = {f.name: f for f in model._meta.concrete_fields}
    with transaction.atomic(using=using):
        found: QuerySet[Model] = QuerySet(model, using=using).filter(pk=state.pk)
        there = found.select_for_update().first()
        instance = there or model(pk=model._meta.pk.to_python(state.pk))
        for field_name, value in state.values.items():
            if not _is_there(fields[field_name], value, using):
                raise CannotRestoreError(
                    f"The {fields[field_name].verbose_name} of {name} was {value}, which is no"
                    " longer there. Restore that first."
                )
            setattr(instance, fields[field_name].attname, value)
        instance.save(using=using, force_insert=there is None)
        gone = {}
        for field_name, keys in state.links.items():
            target = model._meta.get_field(field_name).related_model
            left = set(
                QuerySet(target, using=using).filter(pk__in=keys).values_list("pk", flat=True)
            )
            getattr(instance, field_name).set(left)
            if keys - left:
                gone[field_name] = keys - left
    return Restored(instance, frozenset(state.unknown), gone)


def _state(model: type[Model], pk: Any, until: int, using: str) -> State:
    """Undo, from what there is now, all entries after the one with the id ``until``."""
    covering = registry.covering(model)
    if not covering:
        raise CannotRestoreError(f"{model._meta.label} is not audited.")
    state = State(model, pk, using, exists=True)
    for audited in covering:
        history = _History(audited, pk, until, using)
        row = history.row()
        if row is None:
            state.exists = False
            continue
        for column in registry.fields_of(audited):
            if column.name in row:
                state.values[column.name] = _decoded(column, row[column.name])
        for many in registry.many_to_many_of(audited):
            links = history.links(many)
            if links is None:
                state.unknown.add(many.name)
            else:
                target = many.remote_field.model._meta.pk
                state.links[many.name] = {_decoded(target, key) for key in links}
    parents = set(model._meta.parents.values())
    state.unknown |= {
        column.name
        for column in model._meta.concrete_fields
        if not (column.primary_key or column.generated or column in parents)
        and column.name not in state.values
    }
    return state


class _History:
    """The entries of one row of one table, around the one with the id ``until``."""

    def __init__(self, audited: Audited, pk: Any, until: int, using: str) -> None:
        self.audited, self.pk, self.using = audited, pk, using
        entries = list(Entry.objects.using(using).of(audited.model(pk=pk)))
        mine = [e for e in entries if e.model_label == audited.model._meta.label]
        self.later = [entry for entry in mine if entry.pk > until]
        self.earlier = [entry for entry in mine if entry.pk <= until]

    def row(self) -> rows.Row | None:
        """Return the columns that are known, as JSON data; None when there was no row."""
        fields = registry.fields_of(self.audited)
        row = rows.read(self.audited, self.pk, self.using, fields)
        for entry in self.later:
            if entry.action == Entry.Action.CREATE:
                row = None
                continue
            if entry.action == Entry.Action.DELETE or row is None:
                row = {}
            for name, change in entry.changes.items():
                if "old" in change:
                    row[name] = change["old"]
                elif change.get("masked"):
                    row.pop(name, None)
        return row

    def links(self, many: ManyToManyField) -> set[Any] | None:
        """Return the keys that a field held, as JSON data; None when the trail cannot tell."""
        if many.name in self.audited.masked:
            return None
        links: set[Any] | None = self._links_now(many)
        for entry in self.later:
            change = entry.changes.get(many.name, {})
            if entry.action == Entry.Action.DELETE:
                links = set(change["removed"]) if "removed" in change else None
            elif links is not None:
                links = (links - set(change.get("added", ()))) | set(change.get("removed", ()))
        return self._links_since_creation(many) if links is None else links

    def _links_now(self, many: ManyToManyField) -> set[Any]:
        source, target = many.m2m_field_name(), many.m2m_reverse_field_name()
        through: QuerySet[Model] = QuerySet(many.remote_field.through, using=self.using)
        keys = through.filter(**{f"{source}__pk": self.pk}).values_list(f"{target}__pk", flat=True)
        target_pk = many.remote_field.model._meta.pk
        return {values.encode(target_pk, key) for key in keys}

    def _links_since_creation(self, many: ManyToManyField) -> set[Any] | None:
        links: set[Any] | None = None
        for entry in reversed(self.earlier):
            if entry.action == Entry.Action.CREATE:
                links = set()
            if links is not None:
                change = entry.changes.get(many.name, {})
                links = (links | set(change.get("added", ()))) - set(change.get("removed", ()))
        return links


def _decoded(column: Field, data: Any) -> Any:
    try:
        return values.decode(column, data)
    except (ValidationError, ValueError, TypeError) as error:
        raise CannotRestoreError(
            f"{column.model._meta.label}.{column.name} has changed its type since: {data!r} is no"
            " value of it any more."
        ) from error


def _is_there(column: Field, value: Any, using: str) -> bool:
    """Whether what a foreign key leads to is there; true for any other field."""
    if value is None or not isinstance(column, ForeignKey):
        return True
    target = column.target_field
    return QuerySet(target.model, using=using).filter(**{target.name: value}).exists()
