"""Former states of objects, read from the trail, and the way back to them."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import JSONNull, ManyToManyField, Model, QuerySet

from . import registry, values
from .fields import FORGOTTEN, is_json
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


def restore(state: State) -> tuple[Model, set[str]]:
    """Bring an object back to a former state; one that was deleted gets its old key.

    Returns the object, and the names of the fields that are not what they were. Those that are
    unknown have what they had, or their default in an object that had been deleted. Many-to-many
    fields lack what is gone by now; those through a model of the project's own are left alone.

    It is saved and linked as usual, so its receivers run and the trail records it; a field
    with ``auto_now`` says when that was. Nothing is restored of other objects: what a deletion
    took along has to be restored after it.

    Raises:
        CannotRestoreError: when the object was not there in that state.
        IntegrityError: when another object has a unique value by now; at the commit also when a
            foreign key leads to an object that is no longer there.
    """
    model, using = state.model, state.using
    if not state.exists:
        name = f"{model._meta.verbose_name} {state.pk}"
        raise CannotRestoreError(f"There was no {name} then. To get there, delete it.")
    get: Any = model._meta.get_field
    columns = [(get(each), value) for each, value in state.values.items()]
    with transaction.atomic(using=using):
        found: QuerySet[Model] = QuerySet(model, using=using).filter(pk=state.pk)
        there = found.select_for_update().first()
        instance = there or model(pk=model._meta.pk.to_python(state.pk))
        for column, value in columns:
            setattr(instance, column.attname, value)
        instance.save(using=using, force_insert=there is None)
        stamps = {c.name: value for c, value in columns if getattr(c, "auto_now_add", False)}
        if there is None and stamps:
            # The insertion has filled in the present.
            found.update(**stamps)
        instance.refresh_from_db(from_queryset=found)
        return instance, state.unknown | _restore_links(instance, state)


def _restore_links(instance: Model, state: State) -> set[str]:
    """Link an object as it was, and return the fields where that was not possible."""
    others = set()
    for name, keys in state.links.items():
        many: Any = state.model._meta.get_field(name)
        # The trail has the keys, and none of what else a link through a model of its own holds.
        if many.remote_field.through._meta.auto_created:
            found: QuerySet[Model] = QuerySet(many.related_model, using=state.using)
            left = found.filter(pk__in=keys).values_list("pk", flat=True)
            # By no manager of the model's own, which may hide some.
            getattr(instance, name)(manager="_base_manager").set(left)
        if keys != {*_links_now(many, state.pk, state.using)}:
            others.add(name)
    return others


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
        for many in audited.many:
            if many.name not in audited.masked:
                with suppress(values.UnreadableError):
                    state.links[many.name] = history.links(many)
    told, parents = {*state.values, *state.links}, {*model._meta.parents.values()}
    state.unknown = {
        each.name
        for each in (*model._meta.concrete_fields, *model._meta.many_to_many)
        if not (each.name in told or each.primary_key or each.generated or each in parents)
    }
    return state


class _History:
    """The entries of one row of one table, around the one with the id ``until``."""

    def __init__(self, audited: Audited, pk: Any, until: int, using: str, names: Names) -> None:
        self.audited, self.pk, self.using = audited, pk, using
        self.known = {FORGOTTEN, *(field.name for field in audited.model._meta.get_fields())}
        key = registry.object_key(audited.model, pk, using)
        history = Entry.objects.using(using).filter(
            names.condition([audited.model._meta.label]), object_id=key
        )
        self.later = [(each.action, names.changes(each)) for each in history.filter(pk__gt=until)]
        self.earlier = history.filter(pk__lte=until)
        self.names = names

    def row(self) -> dict[str, Any] | None:
        """Return the columns that are known, as Python values; None when there was no row."""
        columns = {column.name: column for column in self.audited.fields}
        # Each column as it is now, or else as the first of the later entries has recorded it.
        row = self._now()
        for action, changes in self.later:
            recorded = columns.keys() & changes.keys()
            if action == Entry.Action.CREATE:
                row = None
            elif action == Entry.Action.DELETE or recorded:
                # Others are of links, which the database may have taken along with the object.
                before = {} if row is None or action == Entry.Action.DELETE else row
                row = before | {name: changes[name] for name in recorded}
        if row is None:
            return None
        told: dict[str, Any] = {}
        for name in row.keys() - self._doubtful({*row}):
            if "now" in row[name]:
                told[name] = row[name]["now"]
            elif "old" in row[name]:
                with suppress(values.UnreadableError):
                    told[name] = values.decode(columns[name], row[name]["old"], using=self.using)
        return told

    def _now(self) -> dict[str, dict[str, Any]] | None:
        fields = self.audited.fields
        found: QuerySet[Model] = QuerySet(self.audited.model, using=self.using).filter(pk=self.pk)
        row = found.values("pk", *(column.attname for column in fields)).first()
        if row is None:
            return None
        now = {column.name: {"now": row[column.attname]} for column in fields}
        for column in filter(is_json, fields):
            # Django reads JSON's null as it reads NULL.
            if row[column.name] is None and found.filter(**{column.name: JSONNull()}).exists():
                now[column.name] = {"now": JSONNull()}
        return now

    def _doubtful(self, names: set[str]) -> set[str]:
        """Return those fields that may have been there under another name, or not at all."""
        if not any(changes.keys() - self.known for _, changes in self.later):
            return set()
        doubtful = set(names)
        for entry in self.earlier.iterator():
            doubtful -= self.names.changes(entry).keys()
            # A creation names every field that there was.
            if entry.action == Entry.Action.CREATE or not doubtful:
                break
        return doubtful

    def links(self, many: ManyToManyField) -> set[Any]:
        """Return the keys that a field held; raise ``UnreadableError`` where nobody can tell."""
        if any("forgotten" in changes.get(many.name, ()) for _, changes in self.later):
            raise values.UnreadableError(many.name)
        target = many.remote_field.model._meta.pk
        # Without a constraint the same pair can be there twice.
        links = Counter(_links_now(many, self.pk, self.using))
        for _, changes in self.later:
            if any("added" in changes[name] for name in changes.keys() - self.known):
                # They may have been the links of this field.
                raise values.UnreadableError(many.name)
            added, removed = (
                Counter(
                    values.decode(target, key, using=self.using)
                    for key in changes.get(many.name, {}).get(verb, ())
                )
                for verb in ("added", "removed")
            )
            links = links - added + removed
        return {*links}


def _links_now(many: ManyToManyField, pk: Any, using: str) -> QuerySet[Any, Any]:
    source, target = many.m2m_field_name(), many.m2m_reverse_field_name()
    through: QuerySet[Model] = QuerySet(many.remote_field.through, using=using)
    return through.filter(**{f"{source}__pk": pk}).values_list(f"{target}__pk", flat=True)
