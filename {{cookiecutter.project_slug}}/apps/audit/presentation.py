"""Entries as people read them: what objects are called, and what has changed in their fields."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

from django.apps import apps
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, models
from django.utils import timezone
from django.utils.text import capfirst

from . import registry, values
from .fingerprints import statement
from .lineage import MODEL, WRITES, Names
from .models import Entry
from .values import FORGOTTEN, is_djangos, pointed_to

# Names of linked objects that are listed; a bulk change can link thousands.
MOST_LINKS: Final = 50
# Characters that are shown of a text, and at least before the first that differs.
MOST: Final = 2000
CONTEXT: Final = 100
# Characters that a terminal obeys instead of showing them, that change the direction of text, or
# that are halves of characters. JSON may hold such halves, but UTF-8 cannot.
UNSHOWN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Escape what is not to be seen in a text, as JSON does: ``\\u001b``."""
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@dataclass
class Change:
    """One changed field, in words; ``old`` and ``new`` are None for no value."""

    label: str
    old: str | None = None
    new: str | None = None
    masked: bool = False

    def __post_init__(self) -> None:
        old, new = self.old or "", self.new or ""
        first, least = 0, min(len(old), len(new))
        # In pieces: a loop over millions of characters takes too long.
        while first < least and old[first : first + CONTEXT] == new[first : first + CONTEXT]:
            first += CONTEXT
        self.label = harmless(self.label)
        self.old = None if self.old is None else _shown(self.old, first - CONTEXT)
        self.new = None if self.new is None else _shown(self.new, first - CONTEXT)


def _shown(text: str, start: int) -> str:
    """Show a text from about ``start`` on; a short one from its beginning."""
    start = start if start > 0 and len(text) > MOST else 0
    left = len(text) - start - MOST
    end = f"… {left:,} characters more" if left > 0 else ""
    return harmless(f"{'…' * (start > 0)}{text[start : start + MOST]}{end}")


def local(moment: datetime) -> datetime:
    """Return a moment in the time zone of the project; without time zones it is in it already."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def text_of(instance: models.Model) -> str:
    """Return what an object is called, at most 200 characters, without any masked value."""
    try:
        name = str(instance)
    except Exception:  # noqa: BLE001  a name that cannot be made must not stop the page
        name = ""
    if not name or any(secret in name for secret in _secrets(instance)):
        name = f"{capfirst(instance._meta.verbose_name)} {instance.pk}"
    return harmless(name[:200])


def _secrets(instance: models.Model) -> Iterator[str]:
    """Return the masked values of an object and of those that were loaded to name it."""
    found: list[models.Model] = [instance]
    for one in found:
        relations: list[Any] = [each for each in one._meta.get_fields() if each.is_relation]
        loaded = [each.get_cached_value(one) for each in relations if each.is_cached(one)]
        found += [each for each in loaded if isinstance(each, models.Model) and each not in found]
        for name in {name for audited in registry.covering(type(one)) for name in audited.masked}:
            value = vars(one).get(name)
            if value is not None and value != "" and not isinstance(value, bool):
                yield str(value)


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


def actor_name(entry: Entry) -> str:
    """Return who acted; a command, a job or a visitor who is not logged in is the system."""
    return harmless(entry.actor_name) or "the system"


def origin(changes: Mapping[str, Any]) -> tuple[str, Any]:
    """Say of a restoration, in words and by its id, which entry it came from."""
    found = changes.get(MODEL, {})
    return f"as it was {'before' if found.get('before') else 'after'}", found.get("entry")


def fields_of(label: str, names: Iterable[str]) -> Iterator[tuple[str, Any, str]]:
    """Name, find and label the fields of an entry: those of the model first, in its order."""
    model = model_of(label)
    meta = model._meta if model else None
    fields = {one.name: one for one in (*meta.fields, *meta.many_to_many)} if meta else {}
    # PostgreSQL's JSON has forgotten their order.
    names = (name for name in names if name != FORGOTTEN)
    for name in sorted(names, key=lambda name: [*fields, name].index(name)):
        one = fields.get(name)
        yield name, one, capfirst(str(one.verbose_name)) if one else name


class Page:
    """Entries that are shown together, and those objects they name that are still there.

    It costs one query for each model, whatever the number of entries and objects.
    """

    def __init__(self, entries: Sequence[Entry], names: Names | None = None) -> None:
        self.using = (entries[0]._state.db if entries else None) or DEFAULT_DB_ALIAS
        self.names = names or Names(Entry.objects.using(self.using))
        self._objects: dict[models.Field, dict[Any, models.Model]] = {}
        wanted: dict[models.Field, set[Any]] = defaultdict(set)
        for entry in entries:
            for target, data in (self._subject(entry), *self._related(entry)):
                if target and (key := self._key(target, data)) is not None:
                    wanted[target].add(key)
        for target, keys in wanted.items():
            found: models.QuerySet[models.Model] = models.QuerySet(target.model, using=self.using)
            # Names that are made of further objects cost one query more, not one each.
            found = found.fetch_mode(models.FETCH_PEERS)
            self._objects[target] = found.in_bulk(keys, field_name=target.name)

    def object(self, entry: Entry) -> models.Model | None:
        """Return the object of an entry; None when it is not there or not audited."""
        return self._find(*self._subject(entry))

    def is_gone(self, relation: models.Field, key: Any) -> bool:
        """Whether a changed field has led to an object that no longer exists."""
        return self._find(_target(relation), key) is None

    def name(self, entry: Entry) -> str:
        """Return what the object of an entry is called, or was, or else its model and key."""
        there = self.object(entry)
        name = entry.object_repr if there is None else text_of(there)
        return harmless(name or f"{model_name(self.names.label(entry))} {entry.object_id}".rstrip())

    def changes(self, entry: Entry) -> list[Change]:
        """Describe each changed field, but not those in which a new or gone object has no value."""
        if entry.action == Entry.Action.RENAME:
            return [
                Change("Field" if name else "Model", change["renamed"], name or entry.model_label)
                for name, change in entry.changes.items()
            ]
        if entry.action == Entry.Action.FORGET:
            said = statement(entry.changes)
            count = f"{len(said.object | said.actor):,}"
            return [Change("Reason", new=said.reason), Change("Entries", new=count)]
        found = [self._change(*described) for described in self._fields(entry)]
        is_update = entry.action == Entry.Action.UPDATE
        return [one for one in found if is_update or one.masked or one.old or one.new]

    def _fields(self, entry: Entry) -> Iterator[tuple[Any, str, dict[str, Any]]]:
        changes = self.names.changes(entry)
        # A login names no fields, even if the model has a field of that name.
        model = self.names.label(entry) if entry.action in WRITES else ""
        for name, one, label in fields_of(model, changes):
            yield one, label, changes[name]

    def _subject(self, entry: Entry) -> tuple[models.Field | None, Any]:
        model = model_of(self.names.label(entry))
        # Who may see the trail sees what audited objects are called, and no others.
        return (model._meta.pk if model and registry.covering(model) else None), entry.object_id

    def _related(self, entry: Entry) -> Iterator[tuple[models.Field | None, Any]]:
        """Return the objects that are values of changed fields, if these were loaded."""
        if "changes" in entry.get_deferred_fields():
            return
        for one, _, change in self._fields(entry):
            links = (change.get(side, ())[:MOST_LINKS] for side in ("added", "removed"))
            for data in (change.get("old"), change.get("new"), *chain(*links)):
                yield _target(one), data

    def _key(self, target: models.Field, data: Any) -> Any:
        """Return a key as Python has it; None for one that the model's keys can no longer be."""
        with suppress(ValidationError, values.UnreadableError):
            key = values.decode(target, data, using=self.using)
            # A number that the column cannot hold cannot be asked for either.
            pointed_to(target).run_validators(key)
            return key
        return None

    def _find(self, target: models.Field | None, data: Any) -> models.Model | None:
        return (
            self._objects[target].get(self._key(target, data)) if target in self._objects else None
        )

    def _change(self, model_field: Any, label: str, change: dict[str, Any]) -> Change:
        if "forgotten" in change:
            return Change(label, FORGOTTEN, FORGOTTEN)
        if "old" not in change:
            old, new = (self._links(model_field, change.get(s, ())) for s in ("removed", "added"))
            return Change(label, old, new, masked="masked" in change)
        old, new = (self._text(model_field, change[side]) for side in ("old", "new"))
        if old == new and old is not None:
            # Values are rounded for people, such as a time to the minute. Show what was stored.
            old, new = str(change["old"]), str(change["new"])
        return Change(label, old, new)

    def _links(self, model_field: models.Field | None, keys: Sequence[Any]) -> str | None:
        """Name linked objects, one in a line."""
        texts = [self._text(model_field, key) or str(key) for key in keys[:MOST_LINKS]]
        more = [f"and {len(keys) - MOST_LINKS} more"] if len(keys) > MOST_LINKS else []
        return "\n".join(texts + more) or None

    def _text(self, model_field: models.Field | None, data: Any) -> str | None:
        target = _target(model_field)
        if target is None or data is None:
            return _plain_text(model_field, data)
        there = self._find(target, data)
        return f"{'no longer there' if there is None else text_of(there)} ({data})"


def _target(model_field: models.Field | None) -> models.Field | None:
    """Return the field whose values a relation holds; None for a plain field."""
    if isinstance(model_field, models.ManyToManyField):
        return model_field.remote_field.model._meta.pk
    return model_field.target_field if isinstance(model_field, models.ForeignKey) else None


def _plain_text(model_field: Any, data: Any) -> str | None:
    """Return a value as people read it; None for no value."""
    if data is None or data == "":
        return None if data is None else ""
    if isinstance(model_field, models.DurationField) and isinstance(data, int):
        # SQLite has microseconds.
        return str(timedelta(microseconds=data))
    if isinstance(model_field, models.JSONField):
        data = values.unwrapped(model_field, data)
    elif is_djangos(model_field) and not isinstance(model_field, models.BinaryField):
        # Not all who may see the trail may see the values that another field decrypts.
        with suppress(ValidationError, ValueError, TypeError):
            value = model_field.to_python(data)
            return display_for_value(dict(model_field.flatchoices).get(value, value), "—")
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
