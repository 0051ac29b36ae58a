"""Triggers that keep entries and seals as they are, whoever asks the database to change them.

They refuse to change, to delete and to overwrite. Entries that a pruning, a link in
the chain of seals, covers may be deleted, so that nothing goes without leaving a
statement behind; no link may cover what is yet to come. PostgreSQL and SQLite have them; elsewhere the trail is append-only
for Python code alone.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .models import Entry, Seal

REFUSAL: Final = "The audit trail is append-only: {table} cannot be changed or deleted."
MISFIT: Final = "The chain of seals takes no link that covers other entries than there are."
# A pruning names the number of those that it lets go. By the ids that the database has given out:
# an entry can be added under any other.
UNFIT: Final = (
    "NEW.until > ({given_out}) OR NEW.kind = 'pruning' AND NEW.count <>"
    " (SELECT COUNT(*) FROM {schema}{entries} WHERE id <= NEW.until)"
)
GIVEN_OUT: Final = {
    "postgresql": "SELECT last_value FROM {schema}{entries}_id_seq",
    "sqlite": "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = '{entries}'",
}
PRUNED: Final = "SELECT MAX(until) FROM {schema}{seals} WHERE kind = 'pruning'"

POSTGRESQL: Final = (
    # Written for one table each, so that no search path and no temporary table can mislead it.
    """
    CREATE FUNCTION {schema}{entries}_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.id <= ({pruned}) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION '{refused_entries}' USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION {schema}{seals}_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF {unfit} THEN
                RAISE EXCEPTION '{misfit}' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END IF;
        RAISE EXCEPTION '{refused_seals}' USING ERRCODE = 'restrict_violation';
    END $$
    """,
)
POSTGRESQL_TRIGGERS: Final = (
    # Named after what they refuse; ALWAYS also where a session plays the replica.
    "CREATE TRIGGER {table}_rows BEFORE UPDATE OR DELETE ON {schema}{table}"
    " FOR EACH ROW EXECUTE FUNCTION {schema}{table}_append_only()",
    "CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {schema}{table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION {schema}{table}_append_only()",
    "ALTER TABLE {schema}{table} ENABLE ALWAYS TRIGGER {table}_rows",
    "ALTER TABLE {schema}{table} ENABLE ALWAYS TRIGGER {table}_truncate",
)
POSTGRESQL_LINKS: Final = (
    "CREATE TRIGGER {seals}_insert BEFORE INSERT ON {schema}{seals}"
    " FOR EACH ROW EXECUTE FUNCTION {schema}{seals}_append_only()",
    "ALTER TABLE {schema}{seals} ENABLE ALWAYS TRIGGER {seals}_insert",
)
SQLITE: Final = (
    """
    CREATE TRIGGER {entries}_update BEFORE UPDATE ON {entries}
    BEGIN SELECT RAISE(ABORT, '{refused_entries}'); END
    """,
    """
    CREATE TRIGGER {entries}_delete BEFORE DELETE ON {entries}
    WHEN NOT COALESCE(OLD.id <= ({pruned}), FALSE)
    BEGIN SELECT RAISE(ABORT, '{refused_entries}'); END
    """,
    # INSERT OR REPLACE deletes the row that it replaces without asking the trigger above. A key
    # that the database is yet to give out is -1 here, and costs no search.
    """
    CREATE TRIGGER {entries}_replace BEFORE INSERT ON {entries}
    WHEN NEW.id > 0 AND EXISTS (SELECT 1 FROM {entries} WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, '{refused_entries}'); END
    """,
    """
    CREATE TRIGGER {seals}_update BEFORE UPDATE ON {seals}
    BEGIN SELECT RAISE(ABORT, '{refused_seals}'); END
    """,
    """
    CREATE TRIGGER {seals}_delete BEFORE DELETE ON {seals}
    BEGIN SELECT RAISE(ABORT, '{refused_seals}'); END
    """,
    """
    CREATE TRIGGER {seals}_replace BEFORE INSERT ON {seals}
    WHEN EXISTS (SELECT 1 FROM {seals} WHERE number = NEW.number)
    BEGIN SELECT RAISE(ABORT, '{refused_seals}'); END
    """,
    """
    CREATE TRIGGER {seals}_insert BEFORE INSERT ON {seals}
    WHEN {unfit}
    BEGIN SELECT RAISE(ABORT, '{misfit}'); END
    """,
)
ENTRIES: Final = Entry._meta.db_table
SEALS: Final = Seal._meta.db_table
TRIGGERS: Final = {
    vendor: {f"{SEALS}_insert", *(f"{t}_{what}" for t in (ENTRIES, SEALS) for what in refused)}
    for vendor, refused in {
        "postgresql": ("rows", "truncate"),
        "sqlite": ("update", "delete", "replace"),
    }.items()
}
FOUND: Final = {
    # Of the triggers that are there, those that were not switched off.
    "postgresql": """
        SELECT tgname FROM pg_trigger
        WHERE tgrelid = ANY(ARRAY[to_regclass(%s), to_regclass(%s)]) AND tgenabled = 'A'
    """,
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s)",
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Add the triggers to a database; say so where they cannot be had."""
    names = _names(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        match connection.vendor:
            case "postgresql":
                for statement in POSTGRESQL:
                    cursor.execute(statement.format(**names))
                for table in (ENTRIES, SEALS):
                    for statement in POSTGRESQL_TRIGGERS:
                        cursor.execute(statement.format(table=table, **names))
                for statement in POSTGRESQL_LINKS:
                    cursor.execute(statement.format(**names))
            case "sqlite":
                for statement in SQLITE:
                    cursor.execute(statement.format(**names))
            case vendor:
                sys.stderr.write(
                    f"\nThe audit trail has no triggers for {vendor}: in the database"
                    f" {connection.alias!r} it is append-only for Python code, and whoever can run"
                    " SQL there can change it. PostgreSQL and SQLite refuse that themselves.\n"
                )


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers out of a database again."""
    names = _names(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for table in (ENTRIES, SEALS):
            if connection.vendor == "postgresql":
                # The triggers go with their function.
                statement = "DROP FUNCTION IF EXISTS {schema}{table}_append_only() CASCADE"
                cursor.execute(statement.format(table=table, **names))
        for name in TRIGGERS["sqlite"] if connection.vendor == "sqlite" else ():
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


def missing(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the names of the triggers that a database should have and has not."""
    wanted = TRIGGERS.get(connection.vendor, set())
    if not wanted:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(FOUND[connection.vendor], [ENTRIES, SEALS])
        return wanted - {name for (name,) in cursor.fetchall()}


def given_out(connection: BaseDatabaseWrapper) -> int:
    """Return the highest id that a database has given to an entry, whether it is still there or not.

    On SQLite also one that an entry was added under: it gives out those after it.
    """
    with connection.cursor() as cursor:
        cursor.execute(GIVEN_OUT[connection.vendor].format(entries=ENTRIES, schema=""))
        last: int = cursor.fetchone()[0]
        return last


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Take the triggers out for a block, in one transaction with all that it does.

    For the tests, which empty all tables, and for what no other way leads to, such as
    the order of a court. It takes the right to change the table's structure. What was
    sealed stays under the seal: ``verify`` finds what a block like this has changed.
    """
    with transaction.atomic(using=connection.alias):
        remove(connection)
        yield
        install(connection)


def _names(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    schema = ""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema())")
            schema = f"{cursor.fetchone()[0]}."
    names = {"entries": ENTRIES, "seals": SEALS, "schema": schema}
    given_out = GIVEN_OUT.get(connection.vendor, "").format(**names)
    return names | {
        "pruned": PRUNED.format(**names),
        "unfit": UNFIT.format(given_out=given_out, **names),
        "misfit": MISFIT,
        "refused_entries": REFUSAL.format(table=ENTRIES),
        "refused_seals": REFUSAL.format(table=SEALS),
    }
