"""Seals: a chain of fingerprints that shows whether entries are still as they were.

Each link holds the fingerprints of the entries after those of the link before it, and a digest
over itself and the digest of that link. Who hides a change has to make all later links again; a
digest that was noted elsewhere shows that too.
"""

import hashlib
import json
import struct
import time
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from django.db import IntegrityError, connections, transaction
from django.db.models import Max, Min, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from . import append_only, triggers
from .models import Entry, Seal

# A fingerprint is the id of an entry and the first half of the SHA-256 of all other columns. The
# database computes it, as a value can have megabytes, from text that no setting of a session
# changes. A column of SQLite can hold bytes that are no text; hex() reads those too. Django adds
# the function SHA256 to SQLite.
LAYOUT: Final = struct.Struct(">q16s")
SEALED: Final = (
    "created_at", "action", "model_label", "object_id", "object_repr",
    "actor_id", "actor_name", "source", "request_id", "changes",
)  # fmt: skip
ROW: Final = f"ROW(extract(epoch FROM created_at), {', '.join(SEALED[1:])})::text"
TEXT: Final = " || ".join(f"hex({name}) || ({name} IS NULL) || ','" for name in SEALED)
SHA_256: Final = {
    "postgresql": f"encode(sha256(convert_to({ROW}, 'UTF8')), 'hex')",
    "sqlite": f"SHA256({TEXT})",
}
# A transaction gets this lock before it gets ids of entries.
WRITERS: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
      AND relation = %s::regclass AND pid IS DISTINCT FROM pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
BATCH: Final = 1000
LOWEST: Final = -(2**63)


class BusyError(Exception):
    """Raised when somebody else is still writing to the trail, or to its chain of seals."""


class Finding(NamedTuple):
    """One thing that is not as it was sealed; ``keys`` has the id of an entry or of a seal."""

    kind: Literal["changed", "removed", "inserted", "seal", "triggers"]
    keys: tuple[int, ...]
    text: str


def settled(using: str, *, patience: float = 10) -> int:
    """Return the highest id of an entry, once no entry can appear below it any more.

    PostgreSQL assigns ids before the commit, so a later id can be committed first. Waits at most
    ``patience`` seconds for the transactions that write at this moment, and blocks none. Raises
    ``BusyError`` when one of them has not ended by then.
    """
    # An entry under an id that was not assigned, which anybody can add, says nothing of others.
    entries = Entry.objects.using(using).filter(pk__lte=append_only.given_out(connections[using]))
    latest = _highest(entries)
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
        # It has one writer at a time, so the ids are in the order of the commits.
        return set()
    with connections[using].cursor() as cursor:
        cursor.execute(WRITERS, [Entry._meta.db_table])
        return {name for (name,) in cursor.fetchall()}


def seal(using: str) -> Iterator[Seal]:
    """Seal the entries that no seal covers yet, and yield the links as they are added.

    Each link is committed by itself, so an interrupted run loses nothing. A run that finds
    another at work leaves the rest to it. Raises ``BusyError`` as ``settled`` does.
    """
    last = Seal.objects.using(using).last()
    for rows in _pieces(using, covered(using), settled(using)):
        packed = b"".join(LAYOUT.pack(*row) for row in rows)
        values = {"until": rows[-1][0], "count": len(rows), "fingerprints": packed}
        if not (last := add_link(using, last, kind=Seal.Kind.ENTRIES, **values)):
            return
        yield last


def add_link(using: str, last: Seal | None, **values: Any) -> Seal | None:
    """Add a link to the chain after ``last``; None when another run has done so first."""
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
    """Compare the trail with its seals, and yield what is not as it was sealed.

    Memory does not grow with the trail. ``noted`` is the number of a seal and the beginning of
    its digest, as they were noted elsewhere: a chain without it was made again.
    """
    for fault in triggers.faults(connections[using]):
        yield Finding("triggers", (), fault)
    links, last, after = Seal.objects.using(using).order_by("number"), None, LOWEST
    while link := links.filter(number__gt=last.number if last else LOWEST).first():
        yield from _seal_faults(using, link, last)
        yield from _entry_faults(using, link, after)
        last, after = link, max(after, link.until)
    latest = _highest(Entry.objects.using(using))
    # Asked after all else was read, or what others write meanwhile would be a finding.
    assigned = append_only.given_out(connections[using])
    for link in links.filter(until__gt=assigned, until__lte=after):
        yield Finding("seal", (link.number,), f"Seal {link.number} covers ids never assigned.")
    if latest > max(after, assigned):
        yield Finding("inserted", (latest,), f"Entry {latest} has an id that was never assigned.")
    if noted and not links.filter(number=noted[0], digest__startswith=noted[1]).exists():
        yield Finding("seal", noted[:1], f"Seal {noted[0]} is not the one that was noted.")


def _seal_faults(using: str, link: Seal, last: Seal | None) -> Iterator[Finding]:
    number, expected = link.number, last.number + 1 if last else 1
    if number != expected:
        yield Finding("seal", (expected,), f"Seal {expected} is gone: seal {number} is next.")
    if len(link.fingerprints) % LAYOUT.size or link.digest != digest_of(link, last):
        text = f"Seal {number} was changed, or does not follow the one before it."
        yield Finding("seal", (number,), text)


def _entry_faults(using: str, link: Seal, after: int) -> Iterator[Finding]:
    """Compare a link with the entries after one id and up to its own."""
    # A pruning holds no fingerprint: what it covers was sealed before, so the rest was put in.
    whole = len(link.fingerprints) - len(link.fingerprints) % LAYOUT.size
    sealed: dict[int, bytes] = dict(LAYOUT.iter_unpack(link.fingerprints[:whole]))
    for key, actual in (row for rows in _pieces(using, after, link.until) for row in rows):
        expected = sealed.pop(key, None)
        if expected is None:
            yield Finding("inserted", (key,), f"Entry {key} was put in and never sealed.")
        elif expected != actual:
            yield Finding("changed", (key,), f"Entry {key} was changed.")
    # Asked after the entries were read: retention may have removed some since this began.
    removable = covered(using, kind=Seal.Kind.PRUNING) if sealed else LOWEST
    for key in sealed:
        if key > removable:
            yield Finding("removed", (key,), f"Entry {key} was removed.")


def _pieces(using: str, after: int, until: int) -> Iterator[list[tuple[int, bytes]]]:
    """Read the ids and fingerprints of the entries after one id and up to another."""
    entries = Entry.objects.using(using).filter(pk__lte=until).order_by("pk")
    digest = RawSQL(SHA_256[connections[using].vendor], [])  # noqa: S611
    while after < until:
        first = entries.filter(pk__gt=after).aggregate(first=Min("pk"))["first"]
        if first is None:
            return
        # A range of ids: without statistics PostgreSQL sorts the whole table to read 1,000 rows.
        after = first + BATCH - 1
        found = entries.filter(pk__range=(first, after)).values_list("pk", digest)
        if rows := [(key, bytes.fromhex(digits)[:16]) for key, digits in found]:
            yield rows
