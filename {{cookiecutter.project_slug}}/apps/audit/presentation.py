"""The changes of an entry as rows of a table that a person can read."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.text import capfirst

from . import values
from .models import Entry
from .rows import text_of

NOTHING = "—"


@dataclass(slots=True)
class Change:
    """One changed field, in words; ``old`` and ``new`` are None for no value."""

    label: str
    old: str | None = None
    new: str | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    masked: bool = False


def model_of(entry: Entry) -> type[models.Model] | None:
    """Return the model of an entry's object; None when the project no longer has it."""
    try:
        return apps.get_model(entry.model_label)
    except LookupError:
        return None


def model_name(entry: Entry) -> str:
    """Return the name of the model as people know it."""
    model = model_of(entry)
    return capfirst(str(model._meta.verbose_name)) if model else entry.model_label


def labels_of(entry: Entry) -> list[str]:
    """Name the changed fields as people know them."""
    fields = _fields_of(entry)
    return [_label(fields.get(name), name) for name in _in_order(entry, fields)]


def changes_of(entry: Entry) -> list[Change]:
    """Describe each changed field of an entry, with the names that related objects have now.

    Costs one query for each related model, whatever the number of its objects.
    Fields in which a new or deleted object had no value are left out.
    """
    fields = _fields_of(entry)
    names = _names_of_related(entry, fields)
    changes = [
        _change(fields.get(name), _label(fields.get(name), name), entry.changes[name], names)
        for name in _in_order(entry, fields)
    ]
    if entry.action == Entry.Action.UPDATE:
        return changes
    return [change for change in changes if change.old or change.new or change.masked]


def _fields_of(entry: Entry) -> dict[str, models.Field]:
    """Return the changed fields that the model still has, in its order."""
    model = model_of(entry)
    if model is None:
        return {}
    fields = {field.name: field for field in (*model._meta.fields, *model._meta.many_to_many)}
    return {name: field for name, field in fields.items() if name in entry.changes}


def _in_order(entry: Entry, fields: dict[str, models.Field]) -> list[str]:
    """List the names of the changed fields; PostgreSQL's JSON forgets their order."""
    return [*fields, *(name for name in entry.changes if name not in fields)]


def _label(model_field: models.Field | None, name: str) -> str:
    return capfirst(str(model_field.verbose_name)) if model_field else name


type Names = dict[tuple[models.Field, Any], str]


def _names_of_related(entry: Entry, fields: dict[str, models.Field]) -> Names:
    """Look up what the objects are called whose keys an entry holds."""
    keys: dict[models.Field, set[Any]] = defaultdict(set)
    for name, model_field in fields.items():
        target, change = _target(model_field), entry.changes[name]
        if target is not None:
            found = [change.get("old"), change.get("new")]
            found += [*change.get("added", ()), *change.get("removed", ())]
            keys[target].update(key for key in found if key is not None)
    names: Names = {}
    for target, wanted in keys.items():
        related: models.QuerySet[models.Model] = models.QuerySet(
            target.model, using=entry._state.db
        )
        # Names that are made of further related objects cost one query more, not one each.
        related = related.fetch_mode(models.FETCH_PEERS)
        for one in related.filter(**{f"{target.name}__in": wanted}):
            names[target, values.encode(target, target.value_from_object(one))] = text_of(one)
    return names


def _target(model_field: models.Field) -> models.Field | None:
    """Return the field whose values a relation holds; None for a plain field."""
    if isinstance(model_field, models.ManyToManyField):
        return model_field.remote_field.model._meta.pk
    return model_field.target_field if isinstance(model_field, models.ForeignKey) else None


def _change(
    model_field: models.Field | None, label: str, change: dict[str, Any], names: Names
) -> Change:
    if change.get("masked"):
        return Change(label, masked=True)
    if "added" in change:
        return Change(
            label,
            added=[_text(model_field, key, names) or str(key) for key in change["added"]],
            removed=[_text(model_field, key, names) or str(key) for key in change["removed"]],
        )
    old, new = (_text(model_field, change[side], names) for side in ("old", "new"))
    if old == new and not values.same(change["old"], change["new"]):
        # What people read is rounded, a time to the minute; then show what was stored.
        old, new = str(change["old"]), str(change["new"])
    return Change(label, old=old, new=new)


def _text(model_field: models.Field | None, data: Any, names: Names) -> str | None:
    """Return a value as people read it; None for no value."""
    if data is None or data == "":
        return None if data is None else ""
    if model_field is None:
        return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    target = _target(model_field)
    if target is not None:
        name = names.get((target, data))
        return f"{name} ({data})" if name else f"no longer there ({data})"
    try:
        value = values.decode(model_field, data)
    except (ValidationError, ValueError, TypeError):
        return str(data)
    if isinstance(model_field, models.JSONField):
        return json.dumps(data, indent=2, ensure_ascii=False)
    for choice, label in model_field.flatchoices:
        if choice == value:
            return str(label)
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return display_for_value(value, NOTHING)
