"""Retention: old entries go, from the beginning of the trail, and the chain of seals says so."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from django.db import connections

from . import seals
from .models import Entry, Seal

BATCH: Final = 5000
SOME: Final = """
    DELETE FROM audit_entry WHERE id IN
        (SELECT id FROM audit_entry WHERE id <= %s ORDER BY id LIMIT %s)
"""


@dataclass(frozen=True, slots=True)
class Old:
    """The beginning of the trail: ``count`` entries, all that there are up to the id ``until``."""

    until: int
    count: int


class ChainMovedError(Exception):
    """Raised when another run has added a link to the chain of seals at the same moment."""


def older_than(cutoff: datetime, *, using: str) -> Old | None:
    """Find the entries from before a moment; None when there are none.

    They are taken in the order of ids, up to the first that is younger. An entry with a time in
    the future keeps all entries after it, until that time has passed.
    Raises ``StillWritingError`` as ``seals.settled`` does.
    """
    entries = Entry.objects.using(using).filter(pk__lte=seals.settled(using)).order_by("pk")
    young = entries.filter(created_at__gte=cutoff).values_list("pk", flat=True).first()
    if young is not None:
        entries = entries.filter(pk__lt=young)
    until = entries.values_list("pk", flat=True).last()
    return None if until is None else Old(until, entries.count())


def prune(old: Old, *, using: str) -> int:
    """Remove what ``older_than`` has found for good, and return the number of entries.

    They are sealed first, so that nothing can be put in their place unnoticed. Then a link in the
    chain states that they go; otherwise the database refuses it. An interrupted run can be repeated.

    Raises:
        ChainMovedError: when another link was added at the same moment; nothing was removed.
        StillWritingError: when a transaction that writes to the trail does not end; likewise.
    """
    if old.until > seals.covered(using, kind=Seal.Kind.PRUNING):
        for _ in seals.seal(using):
            pass
        last, kind = Seal.objects.using(using).last(), Seal.Kind.PRUNING
        # A run of `audit seal` that was faster may not have come to these entries yet.
        is_sealed = seals.covered(using) >= old.until
        if not (is_sealed and seals.add_link(using, last, kind=kind, **asdict(old))):
            raise ChainMovedError(
                "Another run has added to the chain of seals. Nothing was removed; run it again."
            )
    gone, removed = 0, 1
    with connections[using].cursor() as cursor:
        while removed:
            # Nothing is loaded, whoever listens to deletions.
            cursor.execute(SOME, [old.until, BATCH])
            removed = cursor.rowcount
            gone += removed
    return gone
