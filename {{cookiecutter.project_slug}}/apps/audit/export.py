"""The trail as lines of JSON, one entry each, for archives and for other programs."""

import json
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import QuerySet

from .differences import harmless
from .models import Entry

# An entry can have megabytes.
BATCH: Final = 100


def lines(entries: QuerySet[Entry]) -> Iterator[str]:
    """Return entries as lines of JSON, the oldest first; only some are in memory at a time."""
    found = entries = entries.order_by("pk")
    while some := list(found[:BATCH]):
        yield from map(line_of, some)
        found = entries.filter(pk__gt=some[-1].pk)


def line_of(entry: Entry) -> str:
    """Return an entry as one line of JSON, with its end."""
    data: dict[str, Any] = {
        "id": entry.pk,
        "time": entry.created_at.isoformat(),
        "action": entry.action,
        "model": entry.model_label,
        "object_id": entry.object_id,
        "object": entry.object_repr,
        "actor_id": None if entry.actor_id is None else str(entry.actor_id),
        "actor": entry.actor_name,
        "source": entry.source,
        "request_id": entry.request_id,
        "changes": entry.changes,
    }
    return harmless(json.dumps(data, ensure_ascii=False, separators=(",", ":"))) + "\n"
