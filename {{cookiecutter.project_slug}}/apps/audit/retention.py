"""Retention: old entries go, from the beginning of the trail, and the chain of seals says so."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connections, transaction
from django.db.models import QuerySet

from . import seals
from .models import Entry, Seal

BATCH: Final = 5000


@dataclass(frozen=True, slots=True)
class Old:
    """The beginning of the trail: all entries up to the id ``until``, the oldest first."""

    until: int
    count: int
    first_at: datetime
    last_at: datetime


class ChainMovedError(Exception):
    """Raised when somebody else has added a link to the chain of seals at the same moment."""


def older_than(cutoff: datetime, *, using: str) -> Old | None:
    """Find the entries from before a moment; None when there are none.

    They are taken in the order of ids, up to the first that is younger: what a clock that
    ran ahead has written holds up the entries behind it until its time is past, too.

    Raises:
        StillWritingError: when a transaction that writes to the trail does not end.
    """
    until = seals.settled(using)
    entries: QuerySet[Entry] = QuerySet(Entry, using=using).order_by("pk")
    young = entries.filter(created_at__gte=cutoff).values_list("pk", flat=True).first()
    if until is not None and young is not None:
        until = min(until, young - 1)
    old = entries.filter(pk__lte=until) if until is not None else entries.none()
    first, last = old.first(), old.last()
    if first is None or last is None:
        return None
    return Old(last.pk, old.count(), first.created_at, last.created_at)


def prune(old: Old, *, using: str, progress: Callable[[int], None] = lambda count: None) -> int:
    """Remove entries for good, some thousand at a time.

    First they are sealed, so that nothing can be put in their place unnoticed, and a link in
    the chain states that they go; only that makes the database let them go. A run that is
    broken off can be run again.

    Args:
        old: what ``older_than`` has found.
        using: the alias of the database.
        progress: told the number of entries that are gone.

    Returns:
        The number of entries that were removed.

    Raises:
        ChainMovedError: when another link was added at the same moment; nothing was removed.
        StillWritingError: when a transaction that writes to the trail does not end; likewise.
    """
    if old.until > seals.pruned(using):
        for _ in seals.seal(using):
            pass
        last, link = Seal.objects.using(using).order_by("number").last(), None
        # Unless another run of `seal` has taken over and is not there yet.
        if seals.covered(using) >= old.until:
            kind = Seal.Kind.PRUNING
            link = seals.add_link(using, last, kind=kind, until=old.until, count=old.count)
        if link is None:
            raise ChainMovedError(
                "Another run has added to the chain of seals at this moment. Nothing was removed;"
                " run it again."
            )
    gone = 0
    while batch := _remove(old.until, using):
        gone += batch
        progress(gone)
    return gone


def _remove(until: int, using: str) -> int:
    keys: QuerySet[Entry] = QuerySet(Entry, using=using).filter(pk__lte=until).order_by("pk")
    some = list(keys.values_list("pk", flat=True)[:BATCH])
    if some:
        connection = connections[using]
        table = connection.ops.quote_name(Entry._meta.db_table)
        with transaction.atomic(using=using), connection.cursor() as cursor:
            # The manager of entries refuses to delete.
            cursor.execute(f"DELETE FROM {table} WHERE id <= %s", [some[-1]])  # noqa: S608
    return len(some)
