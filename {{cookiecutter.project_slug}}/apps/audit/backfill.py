"""Objects that are older than the trail: an entry for each, with its state at that moment."""

from typing import Final

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

from apps.core.actor import current_actor

from . import context
from .capture import literal
from .lineage import Names
from .models import Entry
from .registry import Audited
from .seals import BusyError
from .triggers import Triggers

BATCH: Final = 2000
# While a batch waits, other writers wait for it. PostgreSQL looks for deadlocks after a second.
PATIENCE: Final = "SET LOCAL lock_timeout = '200ms'"
ATTEMPTS: Final = 150
# PostgreSQL's codes for a lock that was not free in time, and for a deadlock.
NO_LOCK: Final = ("55P03", "40P01")


def backfill(audited: Audited, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Add an entry for each row of which the trail has neither the creation nor a state.

    Returns the number of entries. Raises ``BusyError`` when other transactions hold for half a
    minute what a batch has to lock. The batches before it stay on the trail.
    """
    added, failed, batch = 0, 0, _Batch(audited, using)
    while batch.has_more:
        try:
            added, failed = added + batch.add(), 0
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in NO_LOCK:
                raise
            failed += 1
            if failed == ATTEMPTS:
                raise BusyError(
                    f"Another transaction holds rows of {batch.label} that the backfill has to"
                    " lock, for too long; run it again when that has ended, and it goes on."
                ) from error
    return added


class _Batch:
    """The next rows of a table, in the order of their keys."""

    def __init__(self, audited: Audited, using: str) -> None:
        model, capture = audited.model, Triggers(connections[using]).capture
        who = context.who_acts(current_actor(), using)
        capture.who = {"created_at": capture.now} | {
            column: "NULL" if value is None else literal(str(value))
            for column, value in who.items()
        }
        self.using, self.label, self.last = using, model._meta.label, None
        self.has_more = capture.has(model, model._meta.pk)
        self.pk = capture.column("r", model._meta.pk)
        within = f"{self.pk} BETWEEN %s AND %s"
        # LIMIT keeps PostgreSQL from reading the whole trail.
        missing = " AND ".join(
            f"(SELECT 1 FROM {capture.at(Entry)} AS known WHERE known.model_label = '{span.label}'"  # noqa: S608
            f" AND known.object_id = CAST({self.pk} AS TEXT) AND known.id > {span.after}"
            f" AND known.id <= {span.until} AND known.action IN ('create', 'state') LIMIT 1) IS NULL"
            for span in Names(Entry.objects.using(using)).spans(self.label)
        )
        rows = f" FROM {capture.at(model)} AS r WHERE "
        self.keys = f"SELECT {self.pk}{rows}"
        self.lock = f"{self.keys}{missing} AND {within} ORDER BY {self.pk}{capture.lock_rows}"
        insert = capture.state(audited, rows + missing).replace("%", "%%")
        self.insert = f"{insert} AND {within}"
        tables = sorted({capture.at(link.source.model) for link in capture.links_of(audited)})
        # Locks on rows do not prevent new links while links are read.
        locks = [f"LOCK TABLE {table} IN SHARE MODE" for table in tables]
        self.patience, self.locks = ([PATIENCE], locks) if capture.lock_rows else ([], [])

    def add(self) -> int:
        """Add the entries that are missing, and return their number.

        Each follows every change that it contains, and precedes every later one.
        """
        after, last = ("TRUE", ()) if self.last is None else (f"{self.pk} > %s", (self.last,))
        with transaction.atomic(using=self.using), connections[self.using].cursor() as cursor:
            cursor.execute(f"{self.keys}{after} ORDER BY {self.pk} LIMIT {BATCH}", last)
            keys = [key for (key,) in cursor.fetchall()]
            if not keys:
                self.has_more = False
                return 0
            for statement in self.patience:
                cursor.execute(statement)
            cursor.execute(self.lock, [keys[0], keys[-1]])
            if added := len(cursor.fetchall()):
                for statement in self.locks:
                    cursor.execute(statement)
                cursor.execute(self.insert, [keys[0], keys[-1]])
                added = cursor.rowcount
        self.last, self.has_more = keys[-1], len(keys) == BATCH
        return added
