"""The changes of an entry as rows of a table that a person can read."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Final

from django.apps import apps
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.text import capfirst

from . import values
from .fields import is_djangos
from .models import Entry
from .registry import covering

NOTHING: Final = "—"
# Names of linked objects that are listed; a bulk change can link thousands.
MOST_LINKS: Final = 50
# Only texts of this many characters and more are searched for what is different in them.
LONG: Final = 40
# Beyond this many words between the first and the last difference the search takes too long.
MOST_WORDS: Final = 200
# Words that are shown around what is different.
CONTEXT: Final = 12
# What a terminal obeys instead of showing it, what turns the direction of text round, and halves
# of characters, which JSON may hold and which nothing can write as UTF-8.
UNSHOWN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Escape what is not to be seen in a text, as JSON does: ``\\u001b``."""
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@dataclass(slots=True)
class Change:
    """One changed field, in words; ``old`` and ``new`` are None for no value."""

    label: str
    old: str | None = None
    new: str | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    masked: bool = False

    def __post_init__(self) -> None:
        self.label = harmless(self.label)
        self.old, self.new = (
            None if text is None else harmless(text) for text in (self.old, self.new)
        )
        self.added, self.removed = (
            list(map(harmless, side)) for side in (self.added, self.removed)
        )

    @property
    def old_parts(self) -> list[tuple[str, bool]]:
        """The old value in pieces, each with whether it is different in the new one."""
        return _parts(self.old or "", self.new or "", second=False)

    @property
    def new_parts(self) -> list[tuple[str, bool]]:
        """The new value in pieces, each with whether it is different in the old one."""
        return _parts(self.old or "", self.new or "", second=True)


def text_of(instance: models.Model) -> str:
    """Return what an object is called that is there, without its masked values."""
    try:
        name = str(instance)
    except Exception:  # noqa: BLE001  a name that cannot be made must not stop the page
        name = ""
    masked = {name for audited in covering(type(instance)) for name in audited.masked}
    values = (vars(instance).get(name) for name in masked)
    secrets = [str(value) for value in values if value and not isinstance(value, bool)]
    if not name or any(secret in name for secret in secrets):
        name = f"{instance._meta.verbose_name} {instance.pk}"
    return name[:200]


def local(moment: datetime) -> datetime:
    """Return a moment in the time zone of the project; without time zones it is in it already."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def model_of(label: str) -> type[models.Model] | None:
    """Return the model that an entry names; None when the project no longer has it."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


def model_name(label: str) -> str:
    """Return the name of a model as people know it."""
    model = model_of(label)
    return capfirst(str(model._meta.verbose_name)) if model else label


def object_name(entry: Entry) -> str:
    """Return what the object was called; bulk writes leave only its key to be named by."""
    return entry.object_repr or f"{model_name(entry.model_label)} {entry.object_id}"


def actor_name(entry: Entry) -> str:
    """Return who acted; a command, a job or a visitor who is not logged in is the system."""
    return entry.actor_name or "the system"


def labels_of(entry: Entry) -> list[str]:
    """Name the changed fields as people know them."""
    fields = _fields_of(entry)
    return [_label(fields.get(name), name) for name in _in_order(entry, fields)]


def changes_of(entry: Entry) -> list[Change]:
    """Describe each changed field of an entry, with the names that related objects have now.

    Costs one query for each related model, whatever the number of its objects.
    Fields in which a new or deleted object had no value are left out.
    """
    return changes_of_each([entry])[0]


def changes_of_each(entries: Sequence[Entry]) -> list[list[Change]]:
    """Describe the changes of several entries, for no more queries than those of one."""
    names = _names_of_related(entries)
    return [list(_changes(entry, names)) for entry in entries]


type Names = dict[tuple[models.Field, Any], str]


def _changes(entry: Entry, names: Names) -> Iterator[Change]:
    fields = _fields_of(entry)
    for name in _in_order(entry, fields):
        model_field = fields.get(name)
        change = _change(model_field, _label(model_field, name), entry.changes[name], names)
        linked = change.added or change.removed
        if (
            entry.action == Entry.Action.UPDATE
            or linked
            or change.old
            or change.new
            or change.masked
        ):
            yield change


def _fields_of(entry: Entry) -> dict[str, models.Field]:
    """Return the changed fields that the model still has, in its order."""
    model = model_of(entry.model_label)
    if model is None:
        return {}
    fields = {field.name: field for field in (*model._meta.fields, *model._meta.many_to_many)}
    return {name: field for name, field in fields.items() if name in entry.changes}


def _in_order(entry: Entry, fields: dict[str, models.Field]) -> list[str]:
    """List the names of the changed fields; PostgreSQL's JSON forgets their order."""
    return [*fields, *(name for name in entry.changes if name not in fields)]


def _label(model_field: models.Field | None, name: str) -> str:
    return capfirst(str(model_field.verbose_name)) if model_field else name


def _names_of_related(entries: Iterable[Entry]) -> Names:
    """Look up what the objects are called whose keys entries hold."""
    keys: dict[models.Field, set[Any]] = defaultdict(set)
    using = None
    for entry in entries:
        using = entry._state.db
        for name, model_field in _fields_of(entry).items():
            target, change = _target(model_field), entry.changes[name]
            if target is not None:
                found = [change.get("old"), change.get("new")]
                found += change.get("added", ())[:MOST_LINKS]
                found += change.get("removed", ())[:MOST_LINKS]
                keys[target].update(_key(target, key) for key in found if key is not None)
    names: Names = {}
    for target, wanted in keys.items():
        related: models.QuerySet[models.Model] = models.QuerySet(target.model, using=using)
        # Names that are made of further related objects cost one query more, not one each.
        related = related.fetch_mode(models.FETCH_PEERS)
        for one in related.filter(**{f"{target.name}__in": wanted - {None}}):
            names[target, target.value_from_object(one)] = text_of(one)
    return names


def _target(model_field: models.Field) -> models.Field | None:
    """Return the field whose values a relation holds; None for a plain field."""
    if isinstance(model_field, models.ManyToManyField):
        return model_field.remote_field.model._meta.pk
    return model_field.target_field if isinstance(model_field, models.ForeignKey) else None


def _key(target: models.Field, data: Any) -> Any:
    """Return a key as Python has it; None for one that the model's keys can no longer be."""
    try:
        return values.decode(target, data)
    except (ValidationError, ValueError, TypeError):
        return None


def _change(
    model_field: models.Field | None, label: str, change: dict[str, Any], names: Names
) -> Change:
    if change.get("masked"):
        return Change(label, masked=True)
    if "added" in change:
        return Change(
            label,
            added=_links(model_field, change["added"], names),
            removed=_links(model_field, change["removed"], names),
        )
    old, new = (_text(model_field, change[side], names) for side in ("old", "new"))
    if old == new and not values.same(change["old"], change["new"]):
        # What people read is rounded, a time to the minute; then show what was stored.
        old, new = str(change["old"]), str(change["new"])
    return Change(label, old=old, new=new)


def _links(model_field: models.Field | None, keys: list[Any], names: Names) -> list[str]:
    texts = [_text(model_field, key, names) or str(key) for key in keys[:MOST_LINKS]]
    more = len(keys) - MOST_LINKS
    return [*texts, f"and {more} more"] if more > 0 else texts


def _parts(old: str, new: str, *, second: bool) -> list[tuple[str, bool]]:
    """Cut one of two texts where it differs from the other, and leave out what is far from that."""
    whole = new if second else old
    if min(len(old), len(new)) < LONG:
        return [(whole, False)]
    one, other = (re.findall(r"\w+|\s+|.", text) for text in (old, new))
    start = _shared(one, other)
    end = _shared(one[start:][::-1], other[start:][::-1])
    middle = one[start : len(one) - end], other[start : len(other) - end]
    codes: Sequence[tuple[str, int, int, int, int]]
    codes = [("replace", 0, len(middle[0]), 0, len(middle[1]))]
    if max(map(len, middle)) <= MOST_WORDS:
        matcher = SequenceMatcher(None, middle[0], middle[1], autojunk=False)
        codes = matcher.get_opcodes()
    shared = [*one[:start], *one[len(one) - end :]]
    for tag, first, last, *_ in codes:
        shared += middle[0][first:last] if tag == "equal" else []
    if _words(shared) < min(_words(one), _words(other)) / 3:
        # Another text altogether; marks all over it would tell nothing.
        return [(whole, False)]
    mine = other if second else one
    parts = [(_shortened(mine[:start], head=False), False)]
    for tag, *places in codes:
        first, last = places[2:] if second else places[:2]
        piece = mine[start + first : start + last]
        parts.append(("".join(piece), True) if tag != "equal" else (_shortened(piece), False))
    parts.append((_shortened(mine[len(mine) - end :], tail=False) if end else "", False))
    return [(text, different) for text, different in parts if text]


def _words(pieces: list[str]) -> int:
    return sum(not piece.isspace() for piece in pieces)


def _shared(one: list[str], other: list[str]) -> int:
    """Count the words that two texts begin with alike."""
    for number, (word, another) in enumerate(zip(one, other, strict=False)):
        if word != another:
            return number
    return min(len(one), len(other))


def _shortened(words: list[str], *, head: bool = True, tail: bool = True) -> str:
    """Leave the middle out of what is the same, or the part that is at the end of the text."""
    if len(words) <= 3 * CONTEXT:
        return "".join(words)
    first = f"{''.join(words[:CONTEXT]).rstrip()} " if head else ""
    last = f" {''.join(words[-CONTEXT:]).lstrip()}" if tail else ""
    return f"{first}…{last}"


def _text(model_field: models.Field | None, data: Any, names: Names) -> str | None:
    """Return a value as people read it; None for no value."""
    if data is None or data == "":
        return None if data is None else ""
    if model_field is None:
        return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    target = _target(model_field)
    if target is not None:
        name = names.get((target, _key(target, data)))
        return f"{name} ({data})" if name else f"no longer there ({data})"
    if hasattr(model_field, "from_db_value") and not is_djangos(model_field):
        # What such a field decrypts is not for everybody who may see the trail.
        return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    try:
        value = values.decode(model_field, data)
    except (ValidationError, ValueError, TypeError):
        return str(data)
    if isinstance(model_field, models.JSONField):
        unwrapped = values.unwrapped(model_field, data)
        return json.dumps(unwrapped, indent=2, ensure_ascii=False)
    for choice, label in model_field.flatchoices:
        if choice == value:
            return str(label)
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return display_for_value(value, NOTHING)
