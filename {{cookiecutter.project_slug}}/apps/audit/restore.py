"""Former states of objects, read from the trail, and the way back to them."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model, QuerySet

from apps.core.actor import current_actor

from . import registry, values
from .context import who_acts
from .fields import pointed_to
from .lineage import MODEL, Names
from .models import Entry
from .row_history import RowHistory, links_now

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
    not known:

    - fields that are not recorded
    - masked fields that were changed since, and fields that cannot read their recorded values
    - fields without an entry before that time, because they may have had another name

    ``changes`` maps names of fields to what ``restore`` changes, in the form of an entry.
    ``latest`` is the id of the latest entry that was read, and ``names`` are the renamings.
    ``origin`` names the entry that the state was read from; it is empty for a state at a time.
    """

    model: type[Model]
    pk: Any
    using: str
    exists: bool | None
    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, set[Any]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    latest: int = 0
    names: Names | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


def state_after(entry: Entry) -> State:
    """Return the state of an object right after one of its entries.

    The entry of a parent's row gives the state of the child, if the object was one.

    Raises:
        CannotRestoreError: when the entry is about no object, or the project no longer has its
            model or does not audit it.
    """
    names = Names(Entry.objects.using(entry._state.db))
    return _state_of(entry, names, entry.pk, {"entry": entry.pk})


def state_before(deletion: Entry) -> State:
    """Return the state of an object right before a deletion.

    The entries of its links and of its other rows that the same deletion removed are undone too.

    Raises:
        CannotRestoreError: when the project no longer has the model, or does not audit it.
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


def _state_of(entry: Entry, names: Names, until: int, origin: dict[str, Any]) -> State:
    for model in _family(entry, names):
        state = _state(model, entry.object_id, until, names, entry._state.db or DEFAULT_DB_ALIAS)
        if state.exists or model._meta.label == names.label(entry):
            break
    return replace(state, origin=origin, latest=max(state.latest, entry.pk))


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
    names = Names(Entry.objects.using(using))
    return _state(model, pk, -(2**63) if last is None else last, names, using)


def restore(state: State) -> tuple[Model, set[str]]:
    """Bring an object back to a former state; one that was deleted gets its old key.

    It is saved and linked as usual, so receivers run and the trail records it. A field with
    ``auto_now`` gets the time of that. If the state was read from an entry, one more entry with
    the action ``restore`` names it. Objects that a deletion took along have to be restored later.

    Returns the object, and the names of the fields that are not what they were. Unknown fields
    keep their values, or get the default in an object that had been deleted. Many-to-many fields
    lack objects that are gone. Those through a model of the project are not changed.

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
        instance = there or model(pk=model._meta.pk.to_python(state.pk))
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
            _note(state, last)
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


def _note(state: State, last: Entry) -> None:
    """Say on the trail which entry a restoration came from, after the last entry of its changes."""
    Entry(
        **who_acts(current_actor(), state.using),
        action=Entry.Action.RESTORE,
        model_label=registry.covering(state.model)[-1].model._meta.label,
        object_id=last.object_id,
        object_repr=last.object_repr,
        changes={MODEL: state.origin},
    ).save(using=state.using)


def _restore_links(instance: Model, state: State) -> set[str]:
    """Link an object as it was, and return the fields where that was not possible."""
    others = set()
    for name, keys in state.links.items():
        many: Any = state.model._meta.get_field(name)
        # For a through model of the project, the trail has the keys and no other fields.
        if many.remote_field.through._meta.auto_created:
            found: QuerySet[Model] = QuerySet(many.related_model, using=state.using)
            left = found.filter(pk__in=keys).values_list("pk", flat=True)
            # By no manager of the model's own, which may hide some.
            getattr(instance, name)(manager="_base_manager").set(left)
        if keys != {*links_now(many, state.pk, state.using)}:
            others.add(name)
    return others


def _state(model: type[Model], pk: Any, until: int, names: Names, using: str) -> State:
    """Undo, from what there is now, all entries after the one with the id ``until``."""
    covering = registry.covering(model)
    if not covering:
        raise CannotRestoreError(f"{model._meta.label} is not audited.")
    state = State(model, pk, using, exists=True, names=names)
    histories = [RowHistory(audited, pk, until, using, names) for audited in covering]
    is_unknown = any(history.is_unknown for history in histories)
    for audited, history in zip(covering, histories, strict=True):
        row = history.row()
        state.latest = max([state.latest, *history.ids])
        if row is None:
            state.exists = False
            continue
        state.values |= row
        for many in audited.many:
            if many.name not in audited.masked:
                with suppress(values.UnreadableError):
                    state.links[many.name] = history.links(many)
        state.changes |= history.changes
    if is_unknown and state.exists:
        state = State(model, pk, using, exists=None, latest=state.latest, names=names)
    told, parents = {*state.values, *state.links}, {*model._meta.parents.values()}
    state.unknown = {
        each.name
        for each in (*model._meta.concrete_fields, *model._meta.many_to_many)
        if not (each.name in told or each.primary_key or each.generated or each in parents)
    }
    return state
