"""Former states of objects, read from the trail, and the way back to them."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import JSONNull, ManyToManyField, Model, QuerySet

from apps.core.actor import current_actor

from . import registry, values
from .context import who_acts
from .lineage import MODEL, WRITES, Names
from .models import Entry
from .registry import Audited
from .values import FORGOTTEN, is_json, pointed_to

# Within this time before its deletion, the links of an object were removed by the deletion.
DELETION: Final = timedelta(minutes=1)


class CannotRestoreError(Exception):
    """Raised when a former state cannot be brought back."""


@dataclass(slots=True)
class State:
    """The state of an object at some time.

    ``exists`` is None if the trail does not know the object then. ``values`` maps names of fields
    to Python values, foreign keys to keys, and has JSONNull() for JSON's null. ``links`` maps
    names of many-to-many fields to sets of keys. ``unknown`` names the fields whose values are
    not known. ``changes`` maps names of fields to what ``restore`` changes, in the form of an
    entry. ``latest`` is the id of the latest entry that was read. ``origin`` names the entry that
    the state was read from; it is empty for a state at a time.
    """

    model: type[Model]
    pk: Any
    using: str
    names: Names
    exists: bool | None = True
    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, set[Any]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    latest: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


def state_after(entry: Entry) -> State:
    """Return the state of an object right after one of its entries, or of its parent's.

    Raises:
        CannotRestoreError: when the entry is about no object, or about no audited model.
    """
    names = Names(Entry.objects.using(entry._state.db))
    return _state_of(entry, names, entry.pk, {"entry": entry.pk})


def state_before(deletion: Entry) -> State:
    """Return the state of an object right before a deletion; raise as ``state_after`` does.

    The entries of its links and of its other rows that the same deletion removed are undone too.
    """
    entries, until = Entry.objects.using(deletion._state.db), deletion.pk - 1
    names, who = Names(entries), attrgetter("actor_id", "actor_name", "source", "request_id")
    labels = [model._meta.label for model in _family(deletion, names)]
    history = entries.filter(names.condition(labels), object_id=deletion.object_id)
    for entry in history.filter(pk__lte=until).iterator():
        is_removal = entry.action == Entry.Action.DELETE or (
            entry.action == Entry.Action.UPDATE
            and all(change.get("removed") for change in entry.changes.values())
        )
        is_late = abs(deletion.created_at - entry.created_at) < DELETION
        if not (is_removal and is_late and who(entry) == who(deletion)):
            break
        until = entry.pk - 1
    return _state_of(deletion, names, until, {"entry": deletion.pk, "before": True})


def state_at(
    model: type[Model], pk: Any, moment: datetime, *, using: str = DEFAULT_DB_ALIAS
) -> State:
    """Return the state of an object at a moment, which has its time zone.

    Raises:
        CannotRestoreError: when the model is not audited.
    """
    entries = Entry.objects.using(using).of(model(pk=pk)).filter(created_at__lte=moment)
    last = entries.values_list("pk", flat=True).first()
    names = Names(Entry.objects.using(using))
    return _state(model, pk, -(2**63) if last is None else last, names, using)


def restore(state: State) -> tuple[Model, set[str]]:
    """Bring an object back to a former state; one that was deleted gets its old key.

    It is saved and linked as usual, so receivers run and the trail records it. If the state was
    read from an entry, one more entry with the action ``restore`` names it.

    Returns the object, and the names of the fields that are not what they were: unknown fields,
    links to objects that are gone, and links through a model of the project.

    Raises:
        CannotRestoreError: if the object was not there in that state, or is unknown.
        IntegrityError: if another object has a unique value by now. At the commit also if a
            foreign key leads to an object that is gone.
    """
    model, using = state.model, state.using
    _refuse_missing(state)
    get: Any = model._meta.get_field
    columns = [(get(each), value) for each, value in state.values.items()]
    with transaction.atomic(using=using):
        found: QuerySet[Model] = QuerySet(model, using=using).filter(pk=state.pk)
        there = found.select_for_update().first()
        instance = model(pk=model._meta.pk.to_python(state.pk)) if there is None else there
        entries = Entry.objects.using(using).of(instance)
        before = entries.first()
        for column, value in columns:
            setattr(instance, column.attname, value)
        instance.save(using=using, force_insert=there is None)
        stamps = {c.name: value for c, value in columns if getattr(c, "auto_now_add", False)}
        if there is None and stamps:
            # The insertion has filled in the present.
            found.update(**stamps)
        instance.refresh_from_db(from_queryset=found)
        others = state.unknown | _restore_links(instance, state)
        last = entries.all().first()
        if state.origin and last and last != before:
            Entry(
                **who_acts(current_actor(), using),
                action=Entry.Action.RESTORE,
                model_label=registry.covering(model)[-1].model._meta.label,
                object_id=last.object_id,
                object_repr=last.object_repr,
                changes={MODEL: state.origin},
            ).save(using=using)
        return instance, others


def _refuse_missing(state: State) -> None:
    name = f"{state.model._meta.verbose_name} {state.pk}"
    if state.exists is None:
        raise CannotRestoreError(
            f"The trail does not know {name} then: `audit backfill` recorded it later. Take the"
            " state after that entry, or a later one."
        )
    if not state.exists:
        raise CannotRestoreError(f"There was no {name} then. To get there, delete it.")


def _restore_links(instance: Model, state: State) -> set[str]:
    """Link an object as it was, and return the fields where that was not possible."""
    others = set()
    for name, keys in state.links.items():
        many: Any = state.model._meta.get_field(name)
        # For a through model of the project, the trail has the keys and no other fields.
        if many.remote_field.through._meta.auto_created:
            found: QuerySet[Model] = QuerySet(many.related_model, using=state.using)
            # By no manager of the model's own, which may hide some.
            links = getattr(instance, name)(manager="_base_manager")
            links.set(found.filter(pk__in=keys).values_list("pk", flat=True))
        if keys != {*_links_now(many, state.pk, state.using)}:
            others.add(name)
    return others


def _state_of(entry: Entry, names: Names, until: int, origin: dict[str, Any]) -> State:
    for model in _family(entry, names):
        state = _state(model, entry.object_id, until, names, entry._state.db or DEFAULT_DB_ALIAS)
        if state.exists or model._meta.label == names.label(entry):
            break
    return replace(state, origin=origin)


def _family(entry: Entry, names: Names) -> list[type[Model]]:
    """List the audited models of which the object of an entry can have rows, children first."""
    models, label = registry.audited_models(), names.label(entry)
    own = next((one for one in models if one._meta.label == label), None)
    if own is None:
        raise CannotRestoreError(f"{entry.model_label} is no audited model any more.")
    if not entry.object_id:
        raise CannotRestoreError(f"Entry {entry.pk} is about no object and has no state.")
    key = pointed_to(own._meta.pk)
    related = [one for one in models if issubclass(one, own) or issubclass(own, one)]
    found = [one for one in related if pointed_to(one._meta.pk) == key]
    return sorted(found, key=lambda one: -len(one.__mro__))


def _state(model: type[Model], pk: Any, until: int, names: Names, using: str) -> State:
    """Undo, from what there is now, all entries after the one with the id ``until``."""
    covering = registry.covering(model)
    if not covering:
        raise CannotRestoreError(f"{model._meta.label} is not audited.")
    state = State(model, pk, using, names)
    rows = [_Row(audited, pk, until, using, names) for audited in covering]
    state.latest = max(row.latest for row in rows)
    for row in rows:
        row.undo(state)
    if state.exists and any(row.is_unknown for row in rows):
        state = State(model, pk, using, names, exists=None, latest=state.latest)
    told, parents = {*state.values, *state.links}, {*model._meta.parents.values()}
    state.unknown = {
        each.name
        for each in (*model._meta.concrete_fields, *model._meta.many_to_many)
        if not (each.name in told or each.primary_key or each.generated or each in parents)
    }
    return state


class _Row:
    """One row of a table: what it holds now, and its entries before and after an id."""

    def __init__(self, audited: Audited, pk: Any, until: int, using: str, names: Names) -> None:
        self.audited, self.pk, self.using, self.names = audited, pk, using, names
        self.known = {FORGOTTEN, *(each.name for each in audited.model._meta.get_fields())}
        key = registry.object_key(audited.model, pk, using)
        entries = Entry.objects.using(using).filter(
            names.condition([audited.model._meta.label]), object_id=key, action__in=WRITES
        )
        later, self.earlier = [*entries.filter(pk__gt=until)], entries.filter(pk__lte=until)
        self.latest = later[0].pk if later else until
        # Nothing is known of the time before the trail begins with a state.
        first_is_a_state = bool(later) and later[-1].action == Entry.Action.STATE
        self.is_unknown = first_is_a_state and not self.earlier.exists()
        # A state changed nothing.
        self.later = [(each, names.changes(each)) for each in later if each.action != "state"]

    def undo(self, state: State) -> None:
        """Add to a state what the row held, and how that differs from what it holds now."""
        columns = {column.name: column for column in self.audited.fields}
        # Each column as it is now, or else as the first of the later entries has recorded it.
        now = row = self._now()
        for entry, changes in self.later:
            recorded = columns.keys() & changes.keys()
            is_deletion = entry.action == Entry.Action.DELETE
            if entry.action == Entry.Action.CREATE:
                row = None
            elif is_deletion or recorded:
                # Others are of links, which the database may have taken along with the object.
                before = {} if row is None or is_deletion else row
                row = before | {name: changes[name] for name in recorded}
        if row is None:
            state.exists = False
            return
        for name in row.keys() - self._doubtful({*row}):
            if "now" in row[name]:
                state.values[name] = row[name]["now"]
            elif "old" in row[name]:
                old = row[name]["old"]
                with suppress(values.UnreadableError):
                    state.values[name] = values.decode(columns[name], old, using=self.using)
                    if now is None or now[name]["now"] != state.values[name]:
                        latest = (c[name]["new"] for _, c in self.later if "new" in c.get(name, {}))
                        state.changes[name] = {"old": next(latest, None), "new": old}
        for many in self.audited.many:
            if many.name not in self.audited.masked:
                with suppress(values.UnreadableError):
                    self._undo_links(many, state)

    def _now(self) -> dict[str, dict[str, Any]] | None:
        fields = self.audited.fields
        found: QuerySet[Model] = QuerySet(self.audited.model, using=self.using).filter(pk=self.pk)
        row = found.values("pk", *(column.attname for column in fields)).first()
        if row is None:
            return None
        for column in filter(is_json, fields):
            # Django reads JSON's null as it reads NULL.
            if row[column.name] is None and found.filter(**{column.name: JSONNull()}).exists():
                row[column.name] = JSONNull()
        return {column.name: {"now": row[column.attname]} for column in fields}

    def _doubtful(self, names: set[str]) -> set[str]:
        """Return those fields that may have been there under another name, or not at all."""
        if not any(changes.keys() - self.known for _, changes in self.later):
            return set()
        for entry in self.earlier.iterator():
            names -= self.names.changes(entry).keys()
            # A creation names every field that there was, and so does a state.
            if entry.action in (Entry.Action.CREATE, Entry.Action.STATE) or not names:
                break
        return names

    def _undo_links(self, many: ManyToManyField, state: State) -> None:
        """Add to a state the keys that a field held; ``UnreadableError`` if they are not known."""
        name, target = many.name, many.remote_field.model._meta.pk
        # Without a constraint the same pair can be there twice.
        now = Counter(_links_now(many, self.pk, self.using))
        links, recorded = now.copy(), dict[Any, Any]()
        for _, changes in self.later:
            gone = any("added" in changes[other] for other in changes.keys() - self.known)
            if gone or "forgotten" in changes.get(name, ()):
                # The links of a field that has gone may have been those of this one.
                raise values.UnreadableError(name)
            for verb, step in (("added", -1), ("removed", 1)):
                for data in changes.get(name, {}).get(verb, ()):
                    key = values.decode(target, data, using=self.using)
                    recorded[key], links[key] = data, max(0, links[key] + step)
        links = +links  # without those that were not there
        state.links[name] = {*links}
        if links.keys() != now.keys():
            lost, new = links.keys() - now.keys(), now.keys() - links.keys()
            state.changes[name] = {
                "added": [data for key, data in recorded.items() if key in lost],
                "removed": [data for key, data in recorded.items() if key in new],
            }


def _links_now(many: ManyToManyField, pk: Any, using: str) -> QuerySet[Any, Any]:
    source, target = many.m2m_field_name(), many.m2m_reverse_field_name()
    through: QuerySet[Model] = QuerySet(many.remote_field.through, using=using)
    return through.filter(**{f"{source}__pk": pk}).values_list(f"{target}__pk", flat=True)
