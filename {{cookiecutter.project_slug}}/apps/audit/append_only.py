"""Triggers that keep entries and seals as they are, whoever asks the database to change them.

They refuse to change, to delete and to overwrite. Entries that a pruning, a link in
the chain of seals, covers may be deleted, so that nothing goes without leaving a
statement behind. A link has the next number and covers no entry that is yet to come.
"""

from collections.abc import Iterator
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from .capture import Capture, Definition, name_of
from .models import Entry, Seal

ENTRIES: Final = Entry._meta.db_table
SEALS: Final = Seal._meta.db_table
REFUSAL: Final = "The audit trail is append-only: {table} cannot be changed or deleted."
MISFIT: Final = "The chain of seals takes only the next link, over entries that there are."
PRUNED: Final = "SELECT MAX(until) FROM {schema}{seals} WHERE kind = 'pruning'"
# A pruning names the number of those that it lets go. By the ids that the database has given out:
# an entry can be added under any other.
UNFIT: Final = (
    "NEW.until > ({given_out}) OR NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM"
    " {schema}{seals}) OR NEW.kind = 'pruning' AND NEW.count <>"
    " (SELECT COUNT(*) FROM {schema}{entries} WHERE id <= NEW.until)"
)
GIVEN_OUT: Final = {
    "postgresql": "SELECT last_value FROM {schema}{entries}_id_seq",
    "sqlite": "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = '{entries}'",
}
# Table, event, and when to refuse what; see postgresql.EVENTS.
POSTGRESQL: Final = (
    (ENTRIES, "keep", "TG_OP = 'UPDATE' OR (OLD.id <= ({pruned})) IS NOT TRUE", REFUSAL),
    (ENTRIES, "keep_all", "TRUE", REFUSAL),
    (SEALS, "keep", "TRUE", REFUSAL),
    (SEALS, "keep_all", "TRUE", REFUSAL),
    (SEALS, "admit", "{unfit}", MISFIT),
)
SQLITE: Final = (
    (ENTRIES, "BEFORE UPDATE", "TRUE", REFUSAL),
    (ENTRIES, "BEFORE DELETE", "NOT COALESCE(OLD.id <= ({pruned}), FALSE)", REFUSAL),
    # INSERT OR REPLACE deletes the row that it replaces without asking the trigger above. A key
    # that the database is yet to give out is -1 here, and costs no search.
    (
        *(ENTRIES, "BEFORE INSERT"),
        "NEW.id > 0 AND EXISTS (SELECT 1 FROM {entries} WHERE id = NEW.id)",
        REFUSAL,
    ),
    (SEALS, "BEFORE UPDATE", "TRUE", REFUSAL),
    (SEALS, "BEFORE DELETE", "TRUE", REFUSAL),
    (SEALS, "BEFORE INSERT", "{unfit}", MISFIT),
)


def definitions(capture: Capture) -> Iterator[Definition]:
    """Make the triggers of the two tables."""
    vendor = capture.connection.vendor
    names = {"entries": ENTRIES, "seals": SEALS, "schema": capture.schema}
    names["given_out"] = GIVEN_OUT[vendor].format(**names)
    names |= {"pruned": PRUNED.format(**names), "unfit": UNFIT.format(**names)}
    is_postgresql = vendor == "postgresql"
    for table, event, condition, refusal in POSTGRESQL if is_postgresql else SQLITE:
        when, text = condition.format(**names), refusal.format(table=table)
        name = name_of(event.replace(" ", "_").lower(), table)
        if not is_postgresql:
            yield Definition(name, table, event, f"SELECT RAISE(ABORT, '{text}'); ", when)
            continue
        row = "NEW" if event == "admit" else "OLD"
        refuse = f"RAISE EXCEPTION '{text}' USING ERRCODE = 'restrict_violation'"
        body = f"BEGIN IF {when} THEN {refuse}; END IF; RETURN {row}; END"
        yield Definition(name, table, event, body)


def given_out(connection: BaseDatabaseWrapper) -> int:
    """Return the highest id that a database has given to an entry, whether it is still there or not.

    On SQLite also one that an entry was added under: it gives out those after it.
    """
    with connection.cursor() as cursor:
        cursor.execute(GIVEN_OUT[connection.vendor].format(entries=ENTRIES, schema=""))
        last: int = cursor.fetchone()[0]
        return last
