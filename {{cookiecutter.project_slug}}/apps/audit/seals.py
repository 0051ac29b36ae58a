"""Seals: a chain of fingerprints that shows whether entries are still as they were.

Each link holds the fingerprints of the entries that came after those of the link before,
and a digest over itself and the digest before it. To change an entry unnoticed, somebody
has to make all later links anew; a digest that was noted elsewhere shows that too.
"""

import hashlib
import json
import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import islice, takewhile
from typing import Any, Final

from django.db import IntegrityError, connections, transaction
from django.db.models import Func, Max, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from . import append_only, triggers
from .models import Entry, Seal

# A fingerprint is the key of an entry and the first half of the SHA-256 of the rest.
LAYOUT: Final = struct.Struct(">q16s")
# What is sealed besides the time, in this order, which is part of every seal there is.
SEALED: Final = (
    "action", "model_label", "object_id", "object_repr",
    "actor_id", "actor_name", "source", "request_id",
    "changes",
)  # fmt: skip
BATCH: Final = 1000
# Entries whose places may have been exchanged are kept to be compared up to this number.
MOST_CHANGED: Final = 10_000
LOWEST: Final = -(2**63)

# The writers that have begun; each gets its keys only after it has got this lock.
WRITERS: Final = """
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
      AND relation = %s::regclass AND pid IS DISTINCT FROM pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

type Progress = Callable[[int], None]


class Moment(Func):
    """A time as text, the same whatever the settings of a session are."""

    output_field = TextField()
    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite has it as text, which need not be a time once somebody has edited it."""
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS text)")


class StillWritingError(Exception):
    """Raised when a transaction that writes to the trail does not end in time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was sealed.

    ``kind`` is one of ``changed``, ``removed``, ``swapped``, ``inserted``, ``seal`` and
    ``triggers``; ``keys`` are the ids of the entries, or the number of the seal.
    """

    kind: str
    keys: tuple[int, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def settled(using: str, *, patience: float = 10) -> int | None:
    """Return the id up to which no further entry can appear; None for an empty trail.

    PostgreSQL gives ids out before the commit, so a later id can be committed first. Waits
    for those who are writing at this moment, and holds nobody up. Ids that it has not given
    out do not count: whatever was added under one, the others are yet to come.

    Args:
        using: the alias of the database.
        patience: how long to wait for a transaction to end, in seconds.

    Raises:
        StillWritingError: when one has not ended by then.
    """
    connection = connections[using]
    entries = Entry.objects.using(using).filter(pk__lte=append_only.given_out(connection))
    latest = entries.order_by("-pk").values_list("pk", flat=True).first()
    if latest is None or connection.vendor != "postgresql":
        # Elsewhere one writes at a time: whoever commits later has the higher id.
        return latest
    deadline = time.monotonic() + patience
    writers: set[str] | None = None
    while True:
        with connection.cursor() as cursor:
            cursor.execute(WRITERS, [Entry._meta.db_table])
            now = {name for (name,) in cursor.fetchall()}
        writers = now if writers is None else writers & now
        if not writers:
            return latest
        if time.monotonic() >= deadline:
            raise StillWritingError(
                f"{len(writers)} transaction(s) that write to the audit trail have not ended"
                f" within {patience:g} seconds; their entries may still come. Nothing was done."
                " Run it again when they have ended."
            )
        time.sleep(0.05)


def seal(using: str, *, progress: Progress = lambda key: None) -> Iterator[Seal]:
    """Seal the entries that no seal covers yet, a thousand at a time.

    Each link is committed by itself, so a run that is broken off loses nothing, and one
    that finds another at work leaves the rest to it.

    Args:
        using: the alias of the database.
        progress: told the id of the last entry of each link.

    Yields:
        The links as they are added; none when all is sealed.

    Raises:
        StillWritingError: when a transaction that writes to the trail does not end.
    """
    until = settled(using)
    if until is None:
        return
    last = Seal.objects.using(using).order_by("number").last()
    rows = takewhile(lambda row: row[0] <= until, _rows(using, covered(using)))
    while some := list(islice(rows, BATCH)):
        last = add_link(
            using,
            last,
            kind=Seal.Kind.ENTRIES,
            until=some[-1][0],
            count=len(some),
            fingerprints=b"".join(LAYOUT.pack(*row) for row in some),
        )
        if last is None:
            return
        progress(last.until)
        yield last


def add_link(using: str, last: Seal | None, **values: Any) -> Seal | None:
    """Add a link to the chain after ``last``; None when somebody else has done so first."""
    link = Seal(number=last.number + 1 if last else 1, created_at=timezone.now(), **values)
    link.digest = digest_of(link, last.digest if last else "")
    try:
        with transaction.atomic(using=using):
            link.save(using=using, force_insert=True)
    except IntegrityError:
        return None
    return link


def digest_of(link: Seal, previous: str) -> str:
    """Return the digest of a link, in 64 hexadecimal digits."""
    moment = link.created_at
    if timezone.is_aware(moment):
        # A database with a time zone of its own gives it back in that.
        moment = moment.astimezone(UTC)
    head = [previous, link.number, moment.isoformat(), link.kind, link.until, link.count]
    digest = hashlib.sha256(json.dumps(head).encode())
    digest.update(link.fingerprints)
    return digest.hexdigest()


def covered(using: str) -> int:
    """Return the id up to which entries are sealed or given up to a pruning."""
    until = Seal.objects.using(using).aggregate(until=Max("until"))["until"]
    return LOWEST if until is None else until


def pruned(using: str) -> int:
    """Return the id up to which retention removes entries."""
    prunings = Seal.objects.using(using).filter(kind=Seal.Kind.PRUNING)
    until = prunings.aggregate(until=Max("until"))["until"]
    return LOWEST if until is None else until


def verify(
    using: str, *, noted: str | None = None, progress: Progress = lambda key: None
) -> Iterator[Finding]:
    """Compare the trail with its seals.

    Args:
        using: the alias of the database.
        noted: a seal that was noted elsewhere, ``"42:9f86d081…"``, at least the first 16 digits;
            the chain has to have it, or somebody has made it anew.
        progress: told the id up to which entries were compared.

    Yields:
        What is not as it was sealed. Memory does not grow with the trail.

    Raises:
        ValueError: when ``noted`` does not name a seal.
    """
    number, digest = _noted(noted)
    yield from _missing_triggers(using)
    removable, entries = pruned(using), _Entries(using)
    comparison = _Comparison()
    previous: Seal | None = None
    for link in _links(using):
        yield from _faults_of(link, previous, using)
        if link.number == number:
            number = None
            if not link.digest.startswith(digest):
                text = f"Seal {link.number} is {link.digest}, not what was noted: {digest}."
                yield Finding("seal", (link.number,), text)
        # None in a pruning: what it lets go was sealed before, so all else was put in.
        whole = len(link.fingerprints) - len(link.fingerprints) % LAYOUT.size
        sealed = LAYOUT.iter_unpack(link.fingerprints[:whole])
        asked_again = False
        for finding in comparison.of(sealed, entries.up_to(link.until), removable):
            if finding.kind == "removed" and not asked_again:
                # Retention may have removed it since this began.
                removable, asked_again = pruned(using), True
            if finding.kind != "removed" or finding.keys[0] > removable:
                yield finding
        previous = link
        progress(link.until)
    yield from comparison.changes()
    yield from _never_given_out(using, covered(using))
    if number is not None:
        yield Finding("seal", (number,), f"Seal {number}, which was noted, is gone from the chain.")


def _missing_triggers(using: str) -> Iterator[Finding]:
    for fault in triggers.faults(connections[using]):
        yield Finding("triggers", (), fault)


def _faults_of(link: Seal, previous: Seal | None, using: str) -> Iterator[Finding]:
    """Compare a link with the one before it, and with the ids that the database has given out."""
    expected = previous.number + 1 if previous else 1
    if link.number != expected:
        gone = f"{expected}" if link.number == expected + 1 else f"{expected}–{link.number - 1}"
        yield Finding("seal", (expected,), f"Seal {gone} is gone from the chain.")
    is_cut = len(link.fingerprints) % LAYOUT.size
    if is_cut or link.digest != digest_of(link, previous.digest if previous else ""):
        text = f"Seal {link.number} was changed, or does not follow the one before it."
        yield Finding("seal", (link.number,), text)
    given_out = append_only.given_out(connections[using])
    if link.until > given_out:
        text = (
            f"Seal {link.number} covers entries up to {link.until}, and the latest there has"
            f" been is {given_out}."
        )
        yield Finding("seal", (link.number,), text)


def fingerprint(content: Sequence[str | None]) -> bytes:
    """Return 16 bytes that no other content of an entry has."""
    return hashlib.sha256(json.dumps(content).encode()).digest()[:16]


@dataclass
class _Comparison:
    """Compares entries with fingerprints; remembers what was changed, to tell a swap from it."""

    changed: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    def of(
        self, sealed: Iterator[tuple[Any, ...]], found: Iterator[tuple[int, bytes]], removable: int
    ) -> Iterator[Finding]:
        """Walk along both, in the order of ids."""
        row = next(found, None)
        for key, expected in sealed:
            while row and row[0] < key:
                yield _inserted(row[0])
                row = next(found, None)
            if row and row[0] == key:
                if row[1] != expected:
                    yield from self._change(key, expected, row[1])
                row = next(found, None)
            elif key > removable:
                yield Finding("removed", (key,), f"Entry {key} was removed.")
        while row:
            yield _inserted(row[0])
            row = next(found, None)

    def changes(self) -> Iterator[Finding]:
        """Report the changes that turned out to be no swaps."""
        for key in self.changed.values():
            yield Finding("changed", (key,), f"Entry {key} was changed.")

    def _change(self, key: int, expected: bytes, actual: bytes) -> Iterator[Finding]:
        other = self.changed.pop((actual, expected), None)
        if other is not None:
            text = f"Entries {other} and {key} have changed places."
            yield Finding("swapped", (other, key), text)
        elif len(self.changed) < MOST_CHANGED and (expected, actual) not in self.changed:
            self.changed[expected, actual] = key
        else:
            yield Finding("changed", (key,), f"Entry {key} was changed.")


def _inserted(key: int) -> Finding:
    return Finding("inserted", (key,), f"Entry {key} was put in after its neighbours were sealed.")


def _never_given_out(using: str, after: int) -> Iterator[Finding]:
    """Find entries that no seal covers under ids that the database has not come to yet."""
    keys = Entry.objects.using(using).order_by("pk").values_list("pk", flat=True)
    last = append_only.given_out(connections[using])
    # Read before the id is asked for again, or it would take the latest entries for such.
    some = list(keys.filter(pk__gt=max(after, last))[:BATCH])
    last = append_only.given_out(connections[using])
    for key in some:
        if key > last:
            text = f"Entry {key} was put in under an id that the database has not given out."
            yield Finding("inserted", (key,), text)


def _noted(noted: str | None) -> tuple[int | None, str]:
    if noted is None:
        return None, ""
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{16,64})", noted)
    if not found:
        raise ValueError(
            f"{noted!r} is no seal; give its number and its digest as `audit seal` printed them,"
            " for example 42:9f86d081884c7d65."
        )
    return int(found[1]), found[2]


def _links(using: str) -> Iterator[Seal]:
    """Read the chain, some links at a time."""
    links = Seal.objects.using(using).order_by("number")
    after = LOWEST
    while some := list(links.filter(number__gt=after)[:20]):
        for link in some:
            # PostgreSQL's driver returns a view of the bytes.
            link.fingerprints = bytes(link.fingerprints)
            yield link
        after = some[-1].number


class _Entries:
    """Reads the ids and fingerprints of all entries once, in the order of ids."""

    def __init__(self, using: str) -> None:
        self.rows = _rows(using, LOWEST)
        self.next = next(self.rows, None)

    def up_to(self, until: int) -> Iterator[tuple[int, bytes]]:
        """Read on to the entry with this id."""
        while self.next and self.next[0] <= until:
            yield self.next
            self.next = next(self.rows, None)


def _rows(using: str, after: int) -> Iterator[tuple[int, bytes]]:
    """Read the ids and fingerprints of the entries after one."""
    # As the database has it: what this code makes of a value may change, a seal may not.
    texts = {f"{name}_text": Cast(name, TextField()) for name in SEALED}
    entries = QuerySet(Entry, using=using).annotate(moment=Moment("created_at"), **texts)
    found = entries.order_by("pk").values_list("pk", "moment", *texts)
    keys = Entry.objects.using(using).order_by("pk").values_list("pk", flat=True)
    while True:
        # A range of ids, not a number of rows: PostgreSQL would read and sort the whole table
        # for each piece as long as it has no statistics of it.
        rows = list(found.filter(pk__gt=after, pk__lte=after + BATCH))
        for key, *content in rows:
            yield key, fingerprint(content)
        if rows:
            after += BATCH
            continue
        following = keys.filter(pk__gt=after).first()
        if following is None:
            return
        after = following - 1
