"""Former states of objects, read from the trail, and the way back to them."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Field, ForeignKey, JSONNull, ManyToManyField, Model, QuerySet

from . import registry, values
from .fields import is_json
from .lineage import Names
from .models import Entry
from .registry import Audited


class CannotRestoreError(Exception):
    """Raised when a former state cannot be brought back."""


@dataclass(slots=True)
class State:
    """What an object was like at some time.

    ``values`` maps names of fields to Python values, foreign keys to keys, and is JSONNull()
    where JSON's null was; ``links`` maps names of many-to-many fields to sets of keys.
    ``unknown`` names the fields that the trail cannot tell: those that are masked, or cannot
    read what is recorded, and were changed since, those that it does not record, and those that
    it has not met before that time, which may have had another name then.
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
    have their default in an object that had been deleted. Many-to-many fields through a model
    of the project's own are among them, unless they hold what they held then. ``gone`` maps
    names of many-to-many fields to the keys that they once held and that nobody has any more.
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
    label = Names(Entry.objects.using(using)).label(entry)
    for model in registry.audited_models():
        if model._meta.label == label:
            return _state(model, entry.object_id, entry.pk, using)
    raise CannotRestoreError(f"{entry.model_label} is no audited model of this project any more.")


def state_at(
    model: type[Model], pk: Any, moment: datetime, *, using: str = DEFAULT_DB_ALIAS
) -> State:
    """Return the state of an object at some time.

    Args:
        model: the model of the object.
        pk: its key.
        moment: the time, with its zone; later entries are undone.
        using: the alias of the database.

    Raises:
        CannotRestoreError: when the model is not audited.
    """
    entries = Entry.objects.using(using).of(model(pk=pk)).filter(created_at__lte=moment)
    last = entries.values_list("pk", flat=True).first()
    return _state(model, pk, -(2**63) if last is None else last, using)


def restore(state: State) -> Restored:
    """Bring an object back to a former state; one that was deleted gets its old key.

    It is saved and linked as usual, so its receivers run and the trail records it; a field
    with ``auto_now`` says when that was. Nothing is restored of other objects: what a deletion
    took along has to be restored after it.

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
            setattr(instance, fields[field_name].attname, value)
        for field_name, value in state.values.items():
            if not _is_there(fields[field_name], value, instance, using):
                raise CannotRestoreError(
                    f"The {fields[field_name].verbose_name} of {name} was {value}, which is no"
                    " longer there. Restore that first."
                )
        instance.save(using=using, force_insert=there is None)
        stamps = {
            field_name: value
            for field_name, value in state.values.items()
            if getattr(fields[field_name], "auto_now_add", False)
        }
        if there is None and stamps:
            # The insertion has filled in the present.
            found.update(**stamps)
        instance.refresh_from_db(from_queryset=found)
        unlinked, gone = _restore_links(instance, state)
    return Restored(instance, frozenset(state.unknown | unlinked), gone)


def _restore_links(instance: Model, state: State) -> tuple[set[str], dict[str, set[Any]]]:
    """Link an object as it was; return the fields that cannot be, and the keys that are gone."""
    unlinked: set[str] = set()
    gone: dict[str, set[Any]] = {}
    for name, keys in state.links.items():
        many: Any = state.model._meta.get_field(name)
        if not many.remote_field.through._meta.auto_created:
            # The trail has the keys, and none of what else such a link holds.
            if keys != _links_now(many, state.pk, state.using):
                unlinked.add(name)
            continue
        found: QuerySet[Model] = QuerySet(many.related_model, using=state.using)
        left = set(found.filter(pk__in=keys).values_list("pk", flat=True))
        # By no manager of the model's own, which may hide some.
        getattr(instance, name)(manager="_base_manager").set(left)
        if keys - left:
            gone[name] = keys - left
    return unlinked, gone


def _state(model: type[Model], pk: Any, until: int, using: str) -> State:
    """Undo, from what there is now, all entries after the one with the id ``until``."""
    covering = registry.covering(model)
    if not covering:
        raise CannotRestoreError(f"{model._meta.label} is not audited.")
    state, names = State(model, pk, using, exists=True), Names(Entry.objects.using(using))
    for audited in covering:
        history = _History(audited, pk, until, using, names)
        row = history.row()
        if row is None:
            state.exists = False
            continue
        state.values |= row
        for many in audited.model._meta.local_many_to_many:
            links = history.links(many) if many in audited.many else None
            if links is None:
                state.unknown.add(many.name)
            else:
                state.links[many.name] = links
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

    def __init__(self, audited: Audited, pk: Any, until: int, using: str, names: Names) -> None:
        self.audited, self.pk, self.using = audited, pk, using
        self.known = {field.name for field in audited.model._meta.get_fields()}
        key = registry.object_key(audited.model, pk, using)
        history = Entry.objects.using(using).filter(
            names.condition([audited.model._meta.label]), object_id=key
        )
        self.later = [(each.action, names.changes(each)) for each in history.filter(pk__gt=until)]
        self.earlier = (
            (each.action, names.changes(each)) for each in history.filter(pk__lte=until).iterator()
        )

    def row(self) -> dict[str, Any] | None:
        """Return the columns that are known, as Python values; None when there was no row."""
        fields = self.audited.fields
        found: QuerySet[Model] = QuerySet(self.audited.model, using=self.using).filter(pk=self.pk)
        now = found.values("pk", *(column.attname for column in fields)).first()
        row = now and {column.name: now[column.attname] for column in fields}
        for name in [column.name for column in fields if is_json(column)]:
            # Django reads JSON's null as it reads NULL.
            if row and row[name] is None and found.filter(**{name: JSONNull()}).exists():
                row[name] = JSONNull()
        columns = {column.name: column for column in fields}
        for action, changes in self.later:
            if action == Entry.Action.CREATE:
                row = None
                continue
            recorded = columns.keys() & changes.keys()
            if action == Entry.Action.DELETE or (row is None and recorded):
                row = {}
            if row is None:
                # Links that the database took along with the object.
                continue
            for name in recorded:
                # It has no values where it is masked.
                row.pop(name, None)
                if "old" in changes[name]:
                    with suppress(values.UnreadableError):
                        row[name] = _decoded(columns[name], changes[name]["old"], self.using)
        if row is None:
            return None
        return {name: row[name] for name in row.keys() - self._doubtful(set(row))}

    def _doubtful(self, names: set[str]) -> set[str]:
        """Return those fields that may have been there under another name, or not at all."""
        is_doubtful = any(changes.keys() - self.known for _, changes in self.later)
        doubtful = set(names)
        for action, changes in self.earlier:
            doubtful -= changes.keys()
            if action == Entry.Action.CREATE:
                # It names every field that there was.
                return doubtful
            if not doubtful:
                break
        return doubtful if is_doubtful else set()

    def links(self, many: ManyToManyField) -> set[Any] | None:
        """Return the keys that a field held; None when the trail does not tell."""
        if many.name in self.audited.masked:
            return None
        target = many.remote_field.model._meta.pk
        links = _links_now(many, self.pk, self.using)
        for _, changes in self.later:
            if any("added" in changes[name] for name in changes.keys() - self.known):
                # They may have been the links of this field.
                return None
            change = changes.get(many.name, {})
            try:
                added, removed = (
                    {_decoded(target, key, self.using) for key in change.get(verb, ())}
                    for verb in ("added", "removed")
                )
            except values.UnreadableError:
                return None
            links = (links - added) | removed
        return links


def _links_now(many: ManyToManyField, pk: Any, using: str) -> set[Any]:
    source, target = many.m2m_field_name(), many.m2m_reverse_field_name()
    through: QuerySet[Model] = QuerySet(many.remote_field.through, using=using)
    keys = through.filter(**{f"{source}__pk": pk}).values_list(f"{target}__pk", flat=True)
    return set(keys)


def _decoded(column: Field, data: Any, using: str) -> Any:
    try:
        value = values.decode(column, data, using=using)
    except values.UnreadableError:
        raise
    except (ValidationError, ValueError, TypeError) as error:
        raise CannotRestoreError(
            f"{column.model._meta.label}.{column.name} has changed its type since: {data!r} is no"
            " value of it any more."
        ) from error
    return JSONNull() if value is None and values.is_json_null(column, data) else value


def _is_there(column: Field, value: Any, instance: Model, using: str) -> bool:
    """Whether what a foreign key leads to is there, or is the object itself; true for other fields."""
    if value is None or not isinstance(column, ForeignKey):
        return True
    target = column.target_field
    if isinstance(instance, target.model):
        own = instance.pk if target.primary_key else getattr(instance, target.attname)
        if own == value:
            return True
    return QuerySet(target.model, using=using).filter(**{target.name: value}).exists()
