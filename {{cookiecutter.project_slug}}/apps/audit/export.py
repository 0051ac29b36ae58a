"""The trail as lines of JSON, one entry each, for archives and for other programs."""

import json
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import QuerySet

from .models import Entry
from .presentation import harmless

BATCH: Final = 1000


def in_order(entries: QuerySet[Entry]) -> Iterator[Entry]:
    """Read entries from the first to the last, however many, some at a time."""
    after: int | None = None
    while True:
        found = entries if after is None else entries.filter(pk__gt=after)
        some = list(found.order_by("pk")[:BATCH])
        if not some:
            return
        yield from some
        after = some[-1].pk


def line_of(entry: Entry) -> str:
    """Return an entry as one line of JSON, without its end."""
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
    return harmless(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
