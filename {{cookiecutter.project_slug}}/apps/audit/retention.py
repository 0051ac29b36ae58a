"""Retention: old entries are removed from the beginning of the trail, and a seal says so."""

from datetime import datetime
from typing import Final

from django.db import connections
from django.db.models import QuerySet

from . import seals
from .models import Entry, Seal

BATCH: Final = 5000
SOME: Final = """
    DELETE FROM audit_entry WHERE id IN
        (SELECT id FROM audit_entry WHERE id <= %s ORDER BY id LIMIT %s)
"""


def older_than(cutoff: datetime, *, using: str) -> QuerySet[Entry]:
    """Select the entries from before a moment: the beginning of the trail.

    They have the order of ids, and end before the first that is younger. An entry with a time in
    the future keeps all entries after it, until that time has passed.
    Raises ``BusyError`` as ``seals.last_complete_id`` does.
    """
    last = seals.last_complete_id(using)
    entries = Entry.objects.using(using).filter(pk__lte=last).order_by("pk")
    young = entries.filter(created_at__gte=cutoff).values_list("pk", flat=True).first()
    return entries if young is None else entries.filter(pk__lt=young)


def prune(old: QuerySet[Entry]) -> int:
    """Remove what ``older_than`` has selected for good, and return the number of entries.

    They are sealed first, so an entry that is put in their place is found. Then a link of the
    chain says that they are removed. Without it the database refuses. It is safe to run this again.

    Raises:
        BusyError: if another link was added at the same moment, or a transaction that writes to
            the trail does not end; nothing was removed.
    """
    until, using = old.values_list("pk", flat=True).last(), old.db
    if until is None:
        return 0
    if until > seals.covered(using, kind=Seal.Kind.PRUNING):
        for _ in seals.seal(using):
            pass
        last = Seal.objects.using(using).last()
        link = {"kind": Seal.Kind.PRUNING, "until": until, "count": old.count()}
        # Another run of `audit seal` may have been faster, and may not have sealed these yet.
        if seals.covered(using) < until or not seals.add_link(using, last, **link):
            raise seals.BusyError(
                "Another run has added to the chain of seals. Nothing was removed; run it again."
            )
    gone, removed = 0, 1
    with connections[using].cursor() as cursor:
        while removed:
            # In SQL, so that no entry is loaded for receivers of deletions.
            cursor.execute(SOME, [until, BATCH])
            removed = cursor.rowcount
            gone += removed
    return gone
