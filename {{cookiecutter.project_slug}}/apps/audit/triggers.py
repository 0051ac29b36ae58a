"""The triggers of a database: what should be there, what is, and putting that right."""

import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any, Final

from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from . import append_only, registry
from .capture import PREFIX, Capture, Definition
from .models import Entry
from .postgresql import PostgreSQLCapture
from .sqlite import SQLiteCapture

# PostgreSQL: when a trigger fires, how its catalogue says so, the names of its transition tables,
# and whether it fires in sessions that play the replica, too ("A"). Rows that come to a replica
# come with the entries that were written of them.
EVENTS: Final[dict[str, Any]] = {
    "insert": ("AFTER INSERT", 4, None, "new_rows", "O"),
    "update": ("AFTER UPDATE", 17, None, None, "O"),
    "delete": ("AFTER DELETE", 8, "old_rows", None, "O"),
    "truncate": ("BEFORE TRUNCATE", 34, None, None, "O"),
    "keep": ("BEFORE UPDATE OR DELETE", 27, None, None, "A"),
    "keep_all": ("BEFORE TRUNCATE", 34, None, None, "A"),
    "admit": ("BEFORE INSERT", 7, None, None, "A"),
}
CAPTURES: Final[dict[str, type[Capture]]] = {
    "postgresql": PostgreSQLCapture,
    "sqlite": SQLiteCapture,
}
NO_EVENT: Final = ("", None, None, None, None)
ROW: Final = 1
# The tables of the trail itself.
KEPT: Final = frozenset({append_only.ENTRIES, append_only.SEALS})
# Nothing that a session has of its own can mislead a function, and nothing is compiled for one row.
SETTINGS: Final = {"search_path": "pg_catalog, pg_temp", "jit": "off"}

COLUMNS: Final = {
    "postgresql": """
        SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relname = ANY (ARRAY (SELECT jsonb_array_elements_text(%s))) AND relkind IN ('r', 'p')
            AND pg_table_is_visible(pg_class.oid) AND attnum > 0 AND NOT attisdropped
    """,
    "sqlite": """
        SELECT tables.name, columns.name FROM sqlite_master AS tables
        JOIN pragma_table_xinfo(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name IN (SELECT value FROM json_each(%s))
    """,
}
FOUND: Final = {
    "postgresql": """
        SELECT proname, relname, prosrc, proconfig, prosecdef, lanname, tgtype, tgoldtable,
            tgnewtable, tgenabled, tgqual
        FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        LEFT JOIN pg_trigger ON tgfoid = pg_proc.oid AND tgname = proname
        LEFT JOIN pg_class ON pg_class.oid = tgrelid
        WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, %s)
    """,
    "sqlite": """
        SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND instr(name, %s) = 1
    """,
}


class Triggers:
    """The triggers that a database should have, and those that it has.

    Args:
        connection: the database.
        tables: the tables to look at; all when it is None.
        migrating: whether they are being changed; see ``capture.Capture``.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        tables: Set[str] | None = None,
        *,
        migrating: bool = False,
    ) -> None:
        self.connection, self.vendor = connection, connection.vendor
        self.schema, self.wanted, self.found = "", dict[str, Definition](), dict[str, Any]()
        if self.vendor == "postgresql":
            ((self.schema,),) = self._rows("SELECT quote_ident(current_schema()) || '.'")
        columns = self._columns(tables)
        # What the database lacks of the trail's own tables, and has of those to record.
        self.lost, self.recorded = KEPT - columns.keys(), columns.keys() - KEPT
        if not self.lost:
            capture = CAPTURES[self.vendor](connection, columns, self.schema, migrating=migrating)
            own = append_only.definitions(connection, self.schema)
            for one in (*capture.definitions(tables), *own):
                if tables is None or one.table in tables:
                    self.wanted[one.name] = one
        for name, *found in self._rows(FOUND[self.vendor], PREFIX):
            if tables is None or found[0] in tables:
                self.found[name] = found

    def _columns(self, tables: Set[str] | None) -> dict[str, set[str]]:
        """Return the columns of the tables that the triggers name."""
        if tables is None:
            tables = {model._meta.db_table for model in registry.recorded()}
        names = json.dumps(sorted({*tables, *KEPT, registry.user_field().model._meta.db_table}))
        columns: dict[str, set[str]] = {}
        for table, column in self._rows(COLUMNS[self.vendor], names):
            columns.setdefault(table, set()).add(column)
        return columns

    def missing(self) -> Iterator[Definition]:
        """List the triggers that are not there, or are not what they should be."""
        for name, definition in self.wanted.items():
            if self.found.get(name) != self._as_found(definition):
                yield definition

    def superfluous(self) -> Iterator[str]:
        """List the names of triggers of the trail that should not be there."""
        yield from self.found.keys() - self.wanted.keys()

    def put_right(self) -> None:
        """Add, replace and remove; what is as it should be is not locked."""
        statements = [
            sql
            for definition in self.missing()
            for sql in (*self._removal(definition.name, definition), *self._creation(definition))
        ]
        statements += [sql for name in self.superfluous() for sql in self._removal(name, None)]
        if statements:
            with transaction.atomic(using=self.connection.alias):
                self.run(statements)

    def drop(self) -> None:
        """Take the triggers off."""
        for name in self.found:
            self.run(self._removal(name, None))

    def run(self, statements: Sequence[str]) -> None:
        """Run some statements."""
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _rows(self, sql: str, *params: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _as_found(self, definition: Definition) -> list[Any]:
        if self.vendor == "sqlite":
            return [definition.table, self._creation(definition)[0]]
        table = definition.table or None
        _, kind, old, new, enabled = EVENTS.get(definition.event, NO_EVENT)
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        source = [definition.body, settings, False, "plpgsql"]
        return [table, *source, kind, old, new, enabled, None]

    def _creation(self, definition: Definition) -> list[str]:
        quote = self.connection.ops.quote_name
        name, table = quote(definition.name), quote(definition.table)
        if self.vendor == "sqlite":
            when = f" WHEN {definition.when}" if definition.when else ""
            return [
                f"CREATE TRIGGER {name} {definition.event} ON {table}{when}"
                f" BEGIN {definition.body}END"
            ]
        function = f"{self.schema}{name}"
        returns = "trigger" if definition.event else "record"
        settings = " ".join(f"SET {setting} = {value}" for setting, value in SETTINGS.items())
        statements = [
            f"CREATE OR REPLACE FUNCTION {function}({definition.when}) RETURNS {returns} LANGUAGE plpgsql"
            f" {settings} AS $audit${definition.body}$audit$"
        ]
        if definition.event:
            event, kind, old, new, enabled = EVENTS[definition.event]
            rows = f" REFERENCING OLD TABLE AS {old}" if old else ""
            rows = f" REFERENCING NEW TABLE AS {new}" if new else rows
            each = "ROW" if kind & ROW else "STATEMENT"
            statements.append(
                f"CREATE TRIGGER {name} {event} ON {table}{rows} FOR EACH {each}"
                f" EXECUTE FUNCTION {function}()"
            )
            if enabled == "A":
                statements.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
        return statements

    def _removal(self, name: str, replaced: Definition | None) -> list[str]:
        quoted = self.connection.ops.quote_name(name)
        if self.vendor == "sqlite":
            return [f"DROP TRIGGER IF EXISTS {quoted}"]
        if replaced is None:
            # A trigger goes with its function.
            return [f"DROP FUNCTION IF EXISTS {self.schema}{quoted} CASCADE"]
        if not replaced.event:
            return []
        table = self.connection.ops.quote_name(replaced.table)
        return [f"DROP TRIGGER IF EXISTS {quoted} ON {table}"]


def is_kept_in(connection: BaseDatabaseWrapper) -> bool:
    """Whether the trail is kept in a database."""
    return connection.vendor in CAPTURES and router.allow_migrate_model(connection.alias, Entry)


def install(connection: BaseDatabaseWrapper) -> None:
    """Give a database the triggers that it should have."""
    if is_kept_in(connection):
        Triggers(connection).put_right()


def faults(connection: BaseDatabaseWrapper) -> list[str]:
    """Say which triggers a database lacks, and which are not what they should be."""
    if not is_kept_in(connection):
        return []
    triggers = Triggers(connection)
    remedy = f"Run `manage.py migrate --database {connection.alias}`."
    if triggers.lost and triggers.recorded:
        lost = min(triggers.lost)
        return [f"Nothing is recorded in {connection.alias!r}, which has no table {lost}. {remedy}"]
    found = [
        f"The trigger {one.name} of the audit trail on the table {one.table or 'of none'} is"
        f" {'not what it should be' if one.name in triggers.found else 'missing'}. {remedy}"
        for one in triggers.missing()
    ]
    found += [
        f"The trigger {name} of the audit trail should not be there. {remedy}"
        for name in triggers.superfluous()
    ]
    with connection.cursor() as cursor:
        views = {*connection.introspection.table_names(cursor, include_views=True)}
    return found + [
        f"{model._meta.label} is audited, but {model._meta.db_table} is no table that can have"
        " triggers: nothing is recorded. Take the model off AUDITED_MODELS."
        for model in registry.recorded()
        if model._meta.db_table in views - triggers.recorded
    ]


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Take the triggers off entries and seals for a block, in one transaction with all it does.

    For the tests, which empty all tables, and for what no other way leads to, such as
    the order of a court. It takes the right to change the table's structure. What was
    sealed stays under the seal: ``verify`` finds what a block like this has changed.
    """
    with transaction.atomic(using=connection.alias):
        Triggers(connection, KEPT).drop()
        yield
        Triggers(connection, KEPT).put_right()
