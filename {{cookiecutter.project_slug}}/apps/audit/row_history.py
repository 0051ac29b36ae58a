"""The entries of one row of a table: what the row held at some time, and what it holds now."""

from collections import Counter
from contextlib import suppress
from typing import Any

from django.db.models import JSONNull, ManyToManyField, Model, QuerySet

from . import registry, values
from .fields import FORGOTTEN, is_json
from .lineage import WRITES, Names
from .models import Entry
from .registry import Audited


class RowHistory:
    """The entries of one row of one table, around the one with the id ``until``."""

    def __init__(self, audited: Audited, pk: Any, until: int, using: str, names: Names) -> None:
        self.audited, self.pk, self.using = audited, pk, using
        self.known = {FORGOTTEN, *(field.name for field in audited.model._meta.get_fields())}
        key = registry.object_key(audited.model, pk, using)
        history = Entry.objects.using(using).filter(
            names.condition([audited.model._meta.label]), object_id=key, action__in=WRITES
        )
        later, self.earlier = [*history.filter(pk__gt=until)], history.filter(pk__lte=until)
        # Nothing is known of the time before the trail begins with a state.
        first_is_a_state = bool(later) and later[-1].action == Entry.Action.STATE
        self.is_unknown = first_is_a_state and not self.earlier.exists()
        self.later = [
            (each.action, names.changes(each))
            for each in later
            if each.action != Entry.Action.STATE  # it changed nothing
        ]
        self.ids = [each.pk for each in later]
        self.changes: dict[str, Any] = {}
        self.names = names

    def row(self) -> dict[str, Any] | None:
        """Return the columns that are known, as Python values; None when there was no row."""
        columns = {column.name: column for column in self.audited.fields}
        # Each column as it is now, or else as the first of the later entries has recorded it.
        self.now = row = self._now()
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
                    if self.now is None or self.now[name]["now"] != told[name]:
                        latest = (c[name]["new"] for _, c in self.later if "new" in c.get(name, {}))
                        self.changes[name] = {"old": next(latest, None), "new": row[name]["old"]}
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
            # A creation names every field that there was, and so does a state.
            if entry.action in (Entry.Action.CREATE, Entry.Action.STATE) or not doubtful:
                break
        return doubtful

    def links(self, many: ManyToManyField) -> set[Any]:
        """Return the keys that a field held; raise ``UnreadableError`` if they are not known."""
        if any("forgotten" in changes.get(many.name, ()) for _, changes in self.later):
            raise values.UnreadableError(many.name)
        target = many.remote_field.model._meta.pk
        # Without a constraint the same pair can be there twice.
        now = Counter(links_now(many, self.pk, self.using))
        links, recorded = now.copy(), dict[Any, Any]()
        for _, changes in self.later:
            if any("added" in changes[name] for name in changes.keys() - self.known):
                # They may have been the links of this field.
                raise values.UnreadableError(many.name)
            for verb, step in (("added", -1), ("removed", 1)):
                for data in changes.get(many.name, {}).get(verb, ()):
                    key = values.decode(target, data, using=self.using)
                    recorded[key], links[key] = data, max(0, links[key] + step)
        links = +links  # without those that were not there
        if links.keys() != now.keys():
            lost, new = links.keys() - now.keys(), now.keys() - links.keys()
            self.changes[many.name] = {
                "added": [data for key, data in recorded.items() if key in lost],
                "removed": [data for key, data in recorded.items() if key in new],
            }
        return {*links}


def links_now(many: ManyToManyField, pk: Any, using: str) -> QuerySet[Any, Any]:
    """Return the keys that a many-to-many field of an object holds at the moment."""
    source, target = many.m2m_field_name(), many.m2m_reverse_field_name()
    through: QuerySet[Model] = QuerySet(many.remote_field.through, using=using)
    return through.filter(**{f"{source}__pk": pk}).values_list(f"{target}__pk", flat=True)
