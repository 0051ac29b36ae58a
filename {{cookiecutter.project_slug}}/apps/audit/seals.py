"""Seals: a chain of fingerprints that shows whether entries are still as they were.

Each link holds the fingerprints of the entries after those of the link before it. Its digest
covers the link and the digest of the link before. To hide a change, all later links have to be
made again. A digest that was noted elsewhere shows that too.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import batched
from typing import Any, Final, Literal, NamedTuple

from django.db import IntegrityError, connections, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from . import triggers
from .fingerprints import LAYOUT, SALT, Row, pieces, read, statements
from .models import Entry, Seal

# A transaction gets this lock before it gets ids of entries.
WRITERS: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
      AND relation = %s::regclass AND pid IS DISTINCT FROM pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LOWEST: Final = -(2**63)
# Entries that are removed at a time.
REMOVED: Final = 5000
SOME: Final = """
    DELETE FROM audit_entry WHERE id IN
        (SELECT id FROM audit_entry WHERE id <= %s ORDER BY id LIMIT %s)
"""


class BusyError(Exception):
    """Raised while another transaction writes to the trail or to its chain of seals."""


class Finding(NamedTuple):
    """One thing that is not as it was sealed; ``keys`` has the id of an entry or of a seal."""

    kind: Literal["changed", "removed", "inserted", "forgotten", "seal", "triggers"]
    keys: tuple[int, ...]
    text: str


def last_complete_id(using: str, *, patience: float = 10) -> int:
    """Return the highest id of an entry, when no entry can appear below it any more.

    PostgreSQL assigns ids before the commit, so a later id can be committed first. The function
    waits at most ``patience`` seconds for the transactions that are writing, and blocks none.
    Then it raises ``BusyError``.
    """
    # An entry under an id that was not assigned says nothing about others.
    assigned = triggers.last_assigned_id(connections[using])
    latest = _highest(Entry.objects.using(using).filter(pk__lte=assigned))
    deadline, writers = time.monotonic() + patience, _writers(using)
    while writers:
        if time.monotonic() >= deadline:
            raise BusyError(
                f"{len(writers)} transaction(s) that write to the audit trail have not ended within"
                f" {patience:g} seconds. Nothing was done; run it again when they have ended."
            )
        time.sleep(0.05)
        writers &= _writers(using)
    return latest


def _writers(using: str) -> set[str]:
    if connections[using].vendor == "sqlite":
        return set()  # It has one writer at a time, so ids have the order of the commits.
    with connections[using].cursor() as cursor:
        cursor.execute(WRITERS, [Entry._meta.db_table])
        return {name for (name,) in cursor.fetchall()}


def seal(using: str) -> Iterator[Seal]:
    """Seal the entries that no seal covers yet, and yield the links as they are added.

    Each link is committed separately, so an interrupted run loses nothing. If another run is at
    work, this one leaves the rest to it. Raises ``BusyError`` as ``last_complete_id`` does.
    """
    last = Seal.objects.using(using).last()
    for rows in pieces(using, covered(using), last_complete_id(using)):
        # In a trail that was copied, some entries may have forgotten parts already.
        salts = [bytes(SALT) if row.opened() else secrets.token_bytes(SALT) for row in rows]
        packed = (
            LAYOUT.pack(row.key, row.opened() or row.fingerprint(salt))
            for row, salt in zip(rows, salts, strict=True)
        )
        values: dict[str, Any] = {"until": rows[-1].key, "count": len(rows)}
        values |= {"fingerprints": b"".join(packed), "salts": b"".join(salts)}
        if not (last := add_link(using, last, kind=Seal.Kind.ENTRIES, **values)):
            return
        yield last


def contents(link: Seal) -> dict[int, tuple[bytes, bytes]]:
    """Return the fingerprint and the salt of each entry that a link covers, by its id."""
    whole = len(link.fingerprints) - len(link.fingerprints) % LAYOUT.size
    prints = LAYOUT.iter_unpack(bytes(link.fingerprints[:whole]))
    salts = batched(bytes(link.salts), SALT)
    return {key: (found, bytes(next(salts, ()))) for key, found in prints}


def add_link(using: str, last: Seal | None, **values: Any) -> Seal | None:
    """Add a link to the chain after ``last``; return None if another run has added one first."""
    link = Seal(number=last.number + 1 if last else 1, created_at=timezone.now(), **values)
    link.digest = digest_of(link, last)
    try:
        with transaction.atomic(using=using):
            link.save(using=using, force_insert=True)
    except IntegrityError:
        return None
    return link


def digest_of(link: Seal, last: Seal | None) -> str:
    """Return the digest of a link that follows ``last``, in 64 hexadecimal digits."""
    # As a number: a database with its own time zone returns times in that.
    values = [link.number, link.created_at.timestamp(), link.kind, link.until, link.count]
    head = json.dumps([last.digest if last else "", *values])
    return hashlib.sha256(head.encode() + bytes(link.fingerprints)).hexdigest()


def covered(using: str, **only: Any) -> int:
    """Return the id up to which the links cover entries, all links or ``only`` those."""
    return _highest(Seal.objects.using(using).filter(**only), "until")


def _highest(rows: QuerySet[Any], column: str = "pk") -> int:
    return int(rows.aggregate(found=Max(column, default=LOWEST))["found"])


def verify(using: str, *, noted: tuple[int, str] | None = None) -> Iterator[Finding]:
    """Compare the trail with its seals, and yield each difference.

    Memory does not grow with the trail. ``noted`` is the number of a seal and the beginning of
    its digest, as they were noted elsewhere. A chain that lacks it was made again.
    """
    for fault in triggers.faults(connections[using]):
        yield Finding("triggers", (), fault)
    links, last, after = Seal.objects.using(using).order_by("number"), None, LOWEST
    # SQLite takes 1.5 as a number, too.
    while link := links.filter(number__gte=int(last.number) + 1 if last else LOWEST).first():
        yield from _seal_faults(link, last)
        yield from _entry_faults(using, link, after)
        last, after = link, max(after, link.until)
    latest = _highest(Entry.objects.using(using))
    yield from _statement_faults(using)
    # Read last. Otherwise entries that are written meanwhile would be findings.
    assigned = triggers.last_assigned_id(connections[using])
    for link in links.filter(until__gt=assigned, until__lte=after):
        yield Finding("seal", (link.number,), f"Seal {link.number} covers ids never assigned.")
    if latest > max(after, assigned):
        yield Finding("inserted", (latest,), f"Entry {latest} has an id that was never assigned.")
    if noted and not links.filter(number=noted[0], digest__startswith=noted[1]).exists():
        yield Finding("seal", noted[:1], f"Seal {noted[0]} is not the one that was noted.")


def _seal_faults(link: Seal, last: Seal | None) -> Iterator[Finding]:
    number, expected = link.number, last.number + 1 if last else 1
    if number != expected:
        yield Finding("seal", (expected,), f"Seal {expected} is gone: seal {number} is next.")
    entries = len(link.fingerprints) / LAYOUT.size
    if len(link.salts) != SALT * entries or link.digest != digest_of(link, last):
        text = f"Seal {number} was changed, or does not follow the one before it."
        yield Finding("seal", (number,), text)


def _entry_faults(using: str, link: Seal, after: int) -> Iterator[Finding]:
    """Compare a link with the entries after one id and up to its last."""
    # A pruning has no fingerprints. Its entries were sealed before, so others were put in.
    sealed = contents(link)
    for rows in pieces(using, after, link.until):
        opened = []
        for row in rows:
            expected, salt = sealed.pop(row.key, (None, b""))
            actual = row.opened() if row.has_opening else row.fingerprint(salt)
            if expected is None:
                yield Finding("inserted", (row.key,), f"Entry {row.key} was put in and not sealed.")
            elif expected != actual:
                yield Finding("changed", (row.key,), f"Entry {row.key} was changed.")
            elif row.has_opening:
                opened.append(row)
        if opened:
            yield from _opening_faults(using, link, opened)
    # Read after the entries: retention may have removed some since this began.
    removable = covered(using, kind=Seal.Kind.PRUNING) if sealed else LOWEST
    for key in sealed:
        if key > removable:
            yield Finding("removed", (key,), f"Entry {key} was removed.")


def _opening_faults(using: str, link: Seal, rows: Sequence[Row]) -> Iterator[Finding]:
    """Find entries with forgotten parts that no statement lists, or whose salts were kept."""
    entries = Entry.objects.using(using).only("model_label").in_bulk([row.key for row in rows])
    by = {key for row in rows if row.opening for key in row.opening.by}
    said = dict(statements(using, pk__in=by))
    # Read again: a person may have been forgotten since the link was read.
    link.refresh_from_db(fields=["salts"])
    left = {key for key, (_, salt) in contents(link).items() if any(salt)}
    for row in rows:
        if not row.is_lawful(entries[row.key].model_label, said):
            text = f"Entry {row.key} lacks values, and no entry says that they were forgotten."
            yield Finding("changed", (row.key,), text)
        if row.key in left:
            text = f"Seal {link.number} still has the salt of entry {row.key}, which has forgotten values."
            yield Finding("seal", (link.number,), text)


def _statement_faults(using: str) -> Iterator[Finding]:
    """Find statements that values were forgotten which are still there."""
    for key, said in statements(using):
        for row in read(Entry.objects.using(using).filter(pk__in=said.object | said.actor)):
            if row.opening is None or key not in row.opening.by:
                text = f"Entry {key} says that values of entry {row.key} were forgotten, but they are there."
                yield Finding("forgotten", (key,), text)


def older_than(cutoff: datetime, *, using: str) -> QuerySet[Entry]:
    """Select the entries from before a moment, up to the first that is younger, by id.

    Raises ``BusyError`` as ``last_complete_id`` does.
    """
    last = last_complete_id(using)
    entries = Entry.objects.using(using).filter(pk__lte=last).order_by("pk")
    young = entries.filter(created_at__gte=cutoff).values_list("pk", flat=True).first()
    return entries if young is None else entries.filter(pk__lt=young)


def prune(old: QuerySet[Entry]) -> int:
    """Remove what ``older_than`` has selected for good, and return the number of entries.

    They are sealed first, so an entry that is put in their place is found. Then a link of the
    chain says that they are removed. It is safe to run this again.

    Raises:
        BusyError: if another run or transaction writes to the trail; nothing was removed.
    """
    until, using = old.values_list("pk", flat=True).last(), old.db
    if until is None:
        return 0
    if until > covered(using, kind=Seal.Kind.PRUNING):
        for _ in seal(using):
            pass
        last = Seal.objects.using(using).last()
        link = {"kind": Seal.Kind.PRUNING, "until": until, "count": old.count()}
        # Another run of `audit seal` may have been faster, and may not have sealed these yet.
        if covered(using) < until or not add_link(using, last, **link):
            raise BusyError(
                "Another run has added to the chain of seals. Nothing was removed; run it again."
            )
    gone, removed = 0, 1
    with connections[using].cursor() as cursor:
        while removed:
            # In SQL, so that no entry is loaded for receivers of deletions.
            cursor.execute(SOME, [until, REMOVED])
            removed = cursor.rowcount
            gone += removed
    return gone
