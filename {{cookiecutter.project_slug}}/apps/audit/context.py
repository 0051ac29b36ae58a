"""What triggers are told of who acts, and of tables that are being changed.

Each connection has a wrapper around its statements, which Django offers for such
things. On SQLite triggers ask a Python function. On PostgreSQL a statement that may
write to an audited table begins with a comment, which the triggers find in
``current_query()``: it needs no statement of its own and no state of a session, so
poolers and pools do no harm. It holds keys and no names, for it appears in logs.
"""

import re
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from apps.core.actor import current_actor, current_request_id, current_source

from . import append_only, registry, renames
from .capture import ACTOR
from .fields import key_type
from .models import Entry
from .sqlite import WHO
from .triggers import KEPT, Triggers

type Execute = Callable[..., Any]

CREATED_AT: Final[Any] = Entry._meta.get_field("created_at")
# What Django writes of rows, with the table.
WRITES: Final = re.compile(r'\s*(?:INSERT INTO|UPDATE|DELETE FROM) "((?:[^"]|"\.")+)"')
# What writes nothing to any row. All else may do so, whatever it is.
READS: Final = re.compile(
    r"\s*(?:SELECT|SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|SET|SHOW|CREATE|ALTER|DROP|DECLARE|FETCH"
    r"|CLOSE|LOCK|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE)\b))\b",
    re.IGNORECASE | re.DOTALL,
)
CHANGES_TABLES: Final = re.compile(r"\s*(?:CREATE|ALTER|DROP)\s+TABLE\b", re.IGNORECASE)
REPLACES: Final = re.compile(r"\b(?:REPLACE\s+INTO|OR\s+REPLACE)\b", re.IGNORECASE)
# How SQLite's tables are filled that take the place of others.
COPIES: Final = re.compile(r'INSERT INTO "([^"]+)" .*\bSELECT\b.* FROM "([^"]+)"', re.DOTALL)
# Of the id of a request.
MOST_CHARACTERS: Final = 64
NO_REQUEST_ID: Final = re.compile(r"[^A-Za-z0-9._-]")
# What Django puts in the place of NULL while it fills a table that takes the place of another.
FILLED: Final = re.compile(r"""coalesce\("([^"]+)", (?:'(?:[^']|'')*'|[^')])+\)""")

_wrapped: Final[WeakKeyDictionary[BaseDatabaseWrapper, Any]] = WeakKeyDictionary()


def attach(connection: BaseDatabaseWrapper) -> None:
    """Let the triggers of a connection, which has just been made, know who acts."""
    wrapper = _wrapped.get(connection)
    kinds: dict[str, Any] = {"sqlite": SQLiteWrapper, "postgresql": PostgreSQLWrapper}
    if wrapper is None and connection.vendor in kinds:
        wrapper = _wrapped[connection] = kinds[connection.vendor](connection)
        # `execute_wrapper()` is for blocks, which end in the order of their beginning. In front,
        # this one is left alone by those that are under way, as the first statement connects.
        connection.execute_wrappers.insert(0, wrapper)
    if wrapper is not None:
        wrapper.connected()


class Wrapper:
    """Stands around the statements of one connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def connected(self) -> None:
        """Prepare a connection that was just made."""

    def __call__(
        self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if not isinstance(sql, str):
            # psycopg takes bytes and what it has composed.
            sql = sql.decode() if isinstance(sql, bytes) else sql.as_string()
        if CHANGES_TABLES.match(sql):
            return self.change_tables(execute, sql, params, many, context)
        renames.note(self.connection.alias, sql, params)
        return self.run(execute, sql, params, many, context)

    def run(self, execute: Execute, sql: str, *arguments: Any) -> Any:
        """Run a statement that changes no table."""
        raise NotImplementedError

    def change_tables(self, execute: Execute, sql: str, *arguments: Any) -> Any:
        """Run a statement that changes a table, and adapt the triggers to what it has become.

        SQLite drops no column that a trigger names. Rows that the next step of a migration
        writes are recorded, too.
        """
        known = registry.tables_that_matter() | KEPT
        named = {table for table in known if re.search(rf"\b{re.escape(table)}\b", sql)}
        # Every trigger names the table of entries.
        tables = known if append_only.ENTRIES in named else named
        if tables and self.connection.vendor == "sqlite":
            Triggers(self.connection, tables).drop()
        result = execute(sql, *arguments)
        if tables:
            Triggers(self.connection, tables, migrating=True).put_right()
        return result


class SQLiteWrapper(Wrapper):
    """Answers what triggers ask, the same for all rows of a statement."""

    told: dict[str, Any] | None = None

    def connected(self) -> None:
        """Give a connection the function that the triggers ask."""
        raw: Any = self.connection.connection
        # Without it SQLite, if built so, refuses functions in triggers.
        raw.execute("PRAGMA trusted_schema = ON")
        raw.create_function(WHO, 1, self.tell)

    def run(self, execute: Execute, sql: str, *arguments: Any) -> Any:
        outer, self.told = self.told, {}
        try:
            # What Django writes replaces nothing, so its statements are not searched to their end.
            if not WRITES.match(sql):
                if not READS.match(sql) and REPLACES.search(sql):
                    return self._replace(execute, sql, *arguments)
            elif " SELECT " in sql and (copied := COPIES.match(sql)):
                if self._is_renamed(*copied.groups()):
                    return self.change_tables(execute, sql, *arguments)
                self._fill(sql, copied[2])
            return execute(sql, *arguments)
        finally:
            self.told = outer

    def _fill(self, sql: str, table: str) -> None:
        """Fill columns that may be NULL no longer in a recorded table, before it is copied."""
        for filled in FILLED.finditer(sql) if table in registry.tables_that_matter() else ():
            column = f'"{filled[1]}"'
            fill = f'UPDATE "{table}" SET {column} = {filled[0]} WHERE {column} IS NULL'  # noqa: S608
            with self.connection.cursor() as cursor:
                cursor.execute(fill)

    def _is_renamed(self, new: str, old: str) -> bool:
        """Whether rows only move, from a table that the trail has recorded so far to another."""
        tables = registry.tables_that_matter()
        return new in tables and old not in tables and bool(Triggers(self.connection, {old}).found)

    def _replace(self, execute: Execute, sql: str, *arguments: Any) -> Any:
        """Let SQLite tell triggers of the rows that are replaced, which it does on request only."""
        raw: Any = self.connection.connection
        ((before,),) = raw.execute("PRAGMA recursive_triggers").fetchall()
        raw.execute("PRAGMA recursive_triggers = ON")
        try:
            return execute(sql, *arguments)
        finally:
            raw.execute(f"PRAGMA recursive_triggers = {before}")

    def tell(self, column: str) -> Any:
        """Return what a column of an entry holds that is being written."""
        # Outside of a statement of Django's nothing says when the next one begins.
        told = {} if self.told is None else self.told
        if not told:
            actor: Any = current_actor()
            named = actor and not registry.is_masked(type(actor), actor.USERNAME_FIELD)
            told |= {
                "created_at": CREATED_AT.get_db_prep_save(timezone.now(), self.connection),
                "actor_id": ACTOR.get_db_prep_save(actor.pk, self.connection) if actor else None,
                "actor_name": actor.get_username()[:254] if actor and named else "",
                "source": current_source(),
                "request_id": current_request_id()[:MOST_CHARACTERS],
            }
        return told[column]


class PostgreSQLWrapper(Wrapper):
    """Begins statements with a comment that says who acts."""

    def run(self, execute: Execute, sql: str, *arguments: Any) -> Any:
        found = WRITES.match(sql)
        matters = found[1] in registry.tables_that_matter() if found else not READS.match(sql)
        return execute(f"{self.comment()} {sql}" if matters else sql, *arguments)

    def comment(self) -> str:
        """Return the comment, of which nothing can end it or stand for a parameter."""
        actor, key = current_actor(), ""
        if actor is not None and actor.pk is not None:
            key = str(ACTOR.get_db_prep_save(actor.pk, self.connection))
            if key_type(ACTOR) == "CharField":
                key = key.encode().hex()
        request_id = NO_REQUEST_ID.sub("_", current_request_id()[:MOST_CHARACTERS])
        return f"/*audit {key}|{current_source()}|{request_id}*/"
