"""Triggers that keep entries and seals as they are, whoever asks the database to change them.

They refuse to change, to delete and to overwrite. Entries that a pruning, a link in
the chain of seals, covers may be deleted, so that nothing goes without leaving a
statement behind. A link has the next number and covers no entry that is yet to come.
"""

from collections.abc import Iterator
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from .capture import Capture, Trigger
from .models import Entry, Seal

ENTRIES: Final = Entry._meta.db_table
SEALS: Final = Seal._meta.db_table
REFUSAL: Final = "The audit trail is append-only: {table} cannot be changed or deleted."
MISFIT: Final = "The chain of seals takes only the next link, over entries that there are."
PRUNED: Final = "(OLD.id <= (SELECT MAX(until) FROM {seals} WHERE kind = 'pruning')) IS NOT TRUE"
# A pruning names the number of those that it lets go. By the ids that the database has given out:
# an entry can be added under any other.
UNFIT: Final = (
    "NEW.until > ({given_out}) OR NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM"
    " {seals}) OR NEW.kind = 'pruning' AND NEW.count <>"
    " (SELECT COUNT(*) FROM {entries} WHERE id <= NEW.until)"
)
GIVEN_OUT: Final = {
    "postgresql": "SELECT last_value FROM {schema}audit_entry_id_seq",
    "sqlite": "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'audit_entry'",
}


def triggers(capture: Capture) -> Iterator[Trigger]:
    """Make the triggers of the two tables."""
    vendor = capture.connection.vendor
    names = {"entries": capture.at(Entry), "seals": capture.at(Seal)}
    names["given_out"] = GIVEN_OUT[vendor].format(schema=capture.schema)
    for table, unless in ((ENTRIES, PRUNED.format(**names)), (SEALS, "TRUE")):
        refusal = REFUSAL.format(table=table)
        yield capture.refusal(table, "UPDATE", "TRUE", refusal)
        yield capture.refusal(table, "DELETE", unless, refusal)
        if vendor == "postgresql":
            yield capture.refusal(table, "TRUNCATE", "TRUE", refusal)
        elif table == ENTRIES:
            # INSERT OR REPLACE deletes the row that it replaces without asking the trigger above. A
            # key that the database is yet to give out is -1 here, and costs no search.
            there = f"NEW.id > 0 AND EXISTS (SELECT 1 FROM {ENTRIES} WHERE id = NEW.id)"  # noqa: S608
            yield capture.refusal(table, "INSERT", there, refusal)
    yield capture.refusal(SEALS, "INSERT", UNFIT.format(**names), MISFIT)


def given_out(connection: BaseDatabaseWrapper) -> int:
    """Return the highest id that a database has given to an entry, whether it is still there or not.

    On SQLite also one that an entry was added under: it gives out those after it.
    """
    with connection.cursor() as cursor:
        cursor.execute(GIVEN_OUT[connection.vendor].format(schema=""))
        last: int = cursor.fetchone()[0]
        return last
