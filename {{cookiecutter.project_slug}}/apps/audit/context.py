"""What triggers are told of who acts, and of tables that are being changed.

Each connection has a wrapper around its statements, which Django offers for such
things. On SQLite triggers ask a Python function. On PostgreSQL a statement that may
write to an audited table begins with a comment, which the triggers find in
``current_query()``: it needs no statement of its own and no state of a session, so
poolers and pools do no harm. It holds keys and no names, for it appears in logs.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from apps.core.actor import current_actor, current_request_id, current_source

from . import append_only, lineage, registry
from .capture import ACTOR, FEW, MANY
from .sqlite import WHO
from .triggers import KEPT, Triggers

type Execute = Callable[[str], Any]

# What Django writes of rows, with the table.
WRITES: Final = re.compile(r'\s*(?:INSERT INTO|UPDATE|DELETE FROM) "([^"]+(?:"\."[^"]+)*)"')
UPDATES: Final = re.compile(r"\s*(?:UPDATE|WITH)\b", re.IGNORECASE)
# What writes nothing to any row. All else may do so, whatever it is.
READS: Final = re.compile(
    r"\s*(?:SELECT|SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|SET|SHOW|CREATE|ALTER|DROP|DECLARE|FETCH"
    r"|CLOSE|LOCK|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE)\b))\b",
    re.IGNORECASE | re.DOTALL,
)
CHANGES_TABLES: Final = re.compile(r"\s*(?:CREATE|ALTER|DROP)\s+TABLE\b", re.IGNORECASE)
REPLACES: Final = re.compile(r"\b(?:REPLACE\s+INTO|OR\s+REPLACE)\b", re.IGNORECASE)
# How SQLite's tables are filled that take the place of others, and what Django puts in the place
# of NULL then.
COPIES: Final = re.compile(r'INSERT INTO "([^"]+)" .*\bSELECT\b.* FROM "([^"]+)"', re.DOTALL)
FILLED: Final = re.compile(r"""coalesce\("([^"]+)", (?:'(?:[^']|'')*'|[^')])+\)""")
# Of the id of a request.
MOST_CHARACTERS: Final = 64
NO_REQUEST_ID: Final = re.compile(r"[^A-Za-z0-9._-]")


def attach(connection: BaseDatabaseWrapper) -> None:
    """Let the triggers of a connection, which has just been made, know who acts."""
    kinds: dict[str, Any] = {"sqlite": SQLiteWrapper, "postgresql": Wrapper}
    wrapper = next((one for one in connection.execute_wrappers if isinstance(one, Wrapper)), None)
    if wrapper is None and connection.vendor in kinds:
        wrapper = kinds[connection.vendor](connection)
        # `execute_wrapper()` is for blocks, which end in the order of their beginning. In front,
        # this one is left alone by those that are under way, as the first statement connects.
        connection.execute_wrappers.insert(0, wrapper)
    if isinstance(wrapper, SQLiteWrapper):
        raw: Any = connection.connection
        # Without it SQLite, if built so, refuses functions in triggers.
        raw.execute("PRAGMA trusted_schema = ON")
        raw.create_function(WHO, 1, wrapper.tell)


@lru_cache
def actor_id(pk: Any, alias: str) -> Any:
    """Return the key of a user as a database takes it."""
    return ACTOR.get_db_prep_save(pk, connections[alias])


class Wrapper:
    """Stands around the statements of one connection; on PostgreSQL it says who acts."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def __call__(self, execute: Any, sql: Any, *arguments: Any) -> Any:
        if not isinstance(sql, str):
            # psycopg takes bytes and what it has composed.
            sql = sql.decode() if isinstance(sql, bytes) else sql.as_string()
        if sql.startswith("SELECT "):
            # Most statements only read. They are not searched any further.
            return execute(sql, *arguments)

        def run(sql: str) -> Any:
            return execute(sql, *arguments)

        if CHANGES_TABLES.match(sql):
            return self.change_tables(run, sql)
        lineage.note(self.connection.alias, sql, arguments[0])
        return self.run(run, sql)

    def run(self, execute: Execute, sql: str) -> Any:
        """Run a statement that changes no table."""
        found, tables = WRITES.match(sql), registry.tables_that_matter()
        if found[1] not in tables if found else READS.match(sql):
            return execute(sql)
        key = f'"{found[1]}"."{tables[found[1]]}"' if found else ""
        one = not UPDATES.match(sql) or (found and sql.endswith(f"WHERE {key} = %s"))
        return execute(f"{self.comment(FEW if one else MANY)} {sql}")

    def comment(self, beginning: str) -> str:
        """Return a comment that says who acts; nothing can end it or stand for a parameter."""
        actor, key = current_actor(), ""
        if actor is not None and actor.pk is not None:
            key = actor_id(actor.pk, self.connection.alias)
            key = key.encode().hex() if isinstance(key, str) else key
        request_id = NO_REQUEST_ID.sub("_", current_request_id()[:MOST_CHARACTERS])
        return f"{beginning}{key}|{current_source()}|{request_id}*/"

    def change_tables(self, execute: Execute, sql: str) -> Any:
        """Run a statement that changes a table, and adapt the triggers to what it has become.

        SQLite drops no column that a trigger names. Rows that the next step of a migration
        writes are recorded, too.
        """
        known = {*registry.tables_that_matter(), *KEPT}
        named = {table for table in known if re.search(rf"\b{re.escape(table)}\b", sql)}
        # Every trigger names the table of entries.
        tables = known if append_only.ENTRIES in named else named
        if tables and self.connection.vendor == "sqlite":
            Triggers(self.connection, tables).drop()
        result = execute(sql)
        if tables:
            Triggers(self.connection, tables, migrating=True).put_right()
        return result


class SQLiteWrapper(Wrapper):
    """Answers what triggers ask, the same for all rows of a statement."""

    told: dict[str, Any] | None = None

    def run(self, execute: Execute, sql: str) -> Any:
        outer, self.told = self.told, {}
        try:
            # What Django writes replaces nothing, so its statements are not searched to their end.
            if not WRITES.match(sql):
                if not READS.match(sql) and REPLACES.search(sql):
                    return self._replace(execute, sql)
            elif " SELECT " in sql and (copied := COPIES.match(sql)):
                if self._is_renamed(*copied.groups()):
                    return self.change_tables(execute, sql)
                self._fill(sql, copied[2])
            return execute(sql)
        finally:
            self.told = outer

    def tell(self, column: str) -> Any:
        """Return what a column of an entry holds that is being written."""
        # Outside of a statement of Django's nothing says when the next one begins.
        told = {} if self.told is None else self.told
        if not told:
            actor: Any = current_actor()
            # Not its type(): the user of a request is a lazy object.
            named = actor and not registry.is_masked(actor._meta.model, actor.USERNAME_FIELD)
            told |= {
                # SQLite keeps it in UTC, or as it is where the project has no time zones.
                "created_at": str(timezone.now().replace(tzinfo=None)),
                "actor_id": actor_id(actor.pk, self.connection.alias) if actor else None,
                "actor_name": actor.get_username()[:254] if actor and named else "",
                "source": current_source(),
                "request_id": current_request_id()[:MOST_CHARACTERS],
            }
        return told[column]

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

    def _replace(self, execute: Execute, sql: str) -> Any:
        """Let SQLite tell triggers of the rows that are replaced, which it does on request only."""
        raw: Any = self.connection.connection
        ((before,),) = raw.execute("PRAGMA recursive_triggers").fetchall()
        raw.execute("PRAGMA recursive_triggers = ON")
        try:
            return execute(sql)
        finally:
            raw.execute(f"PRAGMA recursive_triggers = {before}")
