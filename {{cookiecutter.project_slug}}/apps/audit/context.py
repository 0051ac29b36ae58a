"""Tells the triggers who acts, and adapts them when a table changes.

On SQLite the triggers call a Python function. On PostgreSQL a statement that may write to an
audited table begins with a comment, which the triggers find in ``current_query()``. It needs no
state of the session, so it works with poolers. It holds keys and no names, as it appears in logs.
"""

import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from apps.core.actor import current_actor, current_impersonator, current_request_id, current_source

from . import registry
from .capture import ACTOR, FEW, MANY, MOST_OF_TWO
from .sqlite import WHO
from .triggers import ENTRIES, KEPT, Triggers

type Execute = Callable[[str], Any]

# The beginning of Django's statements that write rows, with the table.
WRITES: Final = re.compile(
    r'\s*(?:INSERT (?:OR IGNORE )?INTO|UPDATE|DELETE FROM) "([^"]+(?:"\."[^"]+)*)"'
)
# A statement that writes no row, with no other one behind it. All others may write some.
READS: Final = re.compile(
    r"(?!.*;\s*\S)\s*(?:SELECT|SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|SET|SHOW|CREATE|ALTER|DROP"
    r"|DECLARE|FETCH|CLOSE|LOCK|EXPLAIN\b(?!.*\bANALY)|WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE|REPLACE)\b))\b",
    re.IGNORECASE | re.DOTALL,
)
CHANGES_TABLES: Final = re.compile(r"(?si)(\s|--.*?\n|/\*.*?\*/)*+(CREATE|ALTER|DROP)\s+TABLE\b")
REPLACES: Final = re.compile(r"\b(?:REPLACE\s+INTO|OR\s+REPLACE)\b", re.IGNORECASE)
# On SQLite, Django copies a changed table into a new one. These find the two tables, and the values
# that replace NULL.
COPIES: Final = re.compile(r'INSERT INTO "([^"]+)" .*\bSELECT\b.* FROM "([^"]+)"', re.DOTALL)
FILLED: Final = re.compile(r"""coalesce\("([^"]+)", (?:'(?:[^']|'')*'|[^'"])+\)""")
# Of the id of a request.
MOST_CHARACTERS: Final = 64
NO_REQUEST_ID: Final = re.compile(r"[^A-Za-z0-9._-]")


def attach(connection: BaseDatabaseWrapper) -> None:
    """Let the triggers of a new connection know who acts."""
    kinds: dict[str, Any] = {"sqlite": SQLiteWrapper, "postgresql": Wrapper}
    wrapper = next((one for one in connection.execute_wrappers if isinstance(one, Wrapper)), None)
    if wrapper is None and connection.vendor in kinds:
        wrapper = kinds[connection.vendor](connection)
        # `execute_wrapper()` is for blocks. The first statement of a block may connect, and the end
        # of the block removes the last wrapper, so this one goes to the front.
        connection.execute_wrappers.insert(0, wrapper)
    if isinstance(wrapper, SQLiteWrapper):
        raw: Any = connection.connection
        # Some builds of SQLite refuse functions in triggers without it.
        raw.execute("PRAGMA trusted_schema = ON")
        raw.create_function(WHO, 1, wrapper.tell)


@lru_cache
def actor_id(pk: Any, alias: str) -> Any:
    """Return the key of a user as a database takes it."""
    return ACTOR.get_db_prep_save(pk, connections[alias])


def request_id() -> str:
    """Return the id of the request, without characters that could end a comment."""
    return NO_REQUEST_ID.sub("_", current_request_id()[:MOST_CHARACTERS])


def who_acts(user: Any, alias: str) -> dict[str, Any]:
    """Return the columns of an entry that name a user, and say from where the user acts."""
    name, other = "", current_impersonator()
    # Not its type(): the user of a request is a lazy object.
    if user and not registry.is_masked(user._meta.model, user.USERNAME_FIELD):
        name = user.get_username()[:254]
        if other and other.pk != user.pk:
            name = f"{name[:MOST_OF_TWO]} (by {other.get_username()[:MOST_OF_TWO]})"
    return {
        "actor_id": actor_id(user.pk, alias) if user else None,
        "actor_name": name,
        "source": current_source(),
        "request_id": request_id(),
    }


class Wrapper:
    """Wraps the statements of one connection; on PostgreSQL it says who acts."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def __call__(self, execute: Any, sql: Any, *arguments: Any) -> Any:
        if not isinstance(sql, str):
            # psycopg also takes bytes and composed statements.
            sql = sql.decode() if isinstance(sql, bytes) else sql.as_string()
        if sql.startswith("SELECT ") and ";" not in sql:
            # Most statements only read. They are not searched any further.
            return execute(sql, *arguments)
        run = self.change_tables if CHANGES_TABLES.match(sql) else self.run
        return run(lambda text: execute(text, *arguments), sql)

    def run(self, execute: Execute, sql: str) -> Any:
        """Run a statement that changes no table."""
        found, tables = WRITES.match(sql), registry.tables_that_matter()
        if found[1] not in tables if found else READS.match(sql):
            return execute(sql)
        one = found and (
            ("), (" not in sql and " SELECT " not in sql)
            if "INSERT" in found[0]
            else sql.endswith(f'WHERE "{found[1]}"."{tables[found[1]]}" = %s')
        )
        return execute(f"{self.comment(FEW if one else MANY)} {sql}")

    def comment(self, beginning: str) -> str:
        """Return a comment that says who acts. No part can end it or look like a parameter."""
        said = [self._key(current_actor()), current_source(), request_id()]
        if other := self._key(current_impersonator()):
            said.append(other)
        return f"{beginning}{'|'.join(said)}*/"

    def _key(self, user: Any) -> str:
        """Return the key of a user as a part of the comment; an empty text for no user."""
        if user is None or user.pk is None:
            return ""
        key = actor_id(user.pk, self.connection.alias)
        return key.encode().hex() if isinstance(key, str) else str(key)

    def change_tables(self, execute: Execute, sql: str) -> Any:
        """Run a statement that changes a table, and adapt the triggers to its new columns.

        SQLite drops no column that a trigger names. The adapted triggers record the rows that the
        next step of a migration writes.
        """
        known = {*registry.tables_that_matter(), *KEPT}
        named = {one for one in known if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", sql, re.I)}
        # A table without a model today loses triggers with a lost column, which SQLite may rename.
        how = "DROP" if self.connection.vendor == "sqlite" else "DROP|RENAME"
        named |= {*re.findall(rf'(?i)\bTABLE\s+"?([^\s"]+)"?\s+(?:{how})\s+COLUMN\b', sql)}
        # Every trigger names the table of entries.
        tables = known if ENTRIES in named else named
        if not tables:
            return execute(sql)
        is_sqlite = self.connection.vendor == "sqlite"
        # Also outside a transaction, a statement that fails leaves the triggers where they were.
        with transaction.atomic(self.connection.alias) if is_sqlite else nullcontext():
            if is_sqlite:
                Triggers(self.connection, tables).drop()
            result = execute(sql)
            Triggers(self.connection, tables).put_right()
        return result


class SQLiteWrapper(Wrapper):
    """Tells the triggers who acts, the same for all rows of a statement."""

    told: dict[str, Any] | None = None

    def run(self, execute: Execute, sql: str) -> Any:
        outer, self.told = self.told, {}
        try:
            # Django's own statements replace no rows, so they are not searched to their end.
            if not (WRITES.match(sql) or READS.match(sql)) and REPLACES.search(sql):
                return self._replace(execute, sql)
            if " SELECT " in sql and (copied := COPIES.match(sql)):
                (new, old), tables = copied.groups(), registry.tables_that_matter()
                is_moved = new in tables and old not in tables
                # The rows of a recorded table that is only renamed move to another one.
                if is_moved and Triggers(self.connection, {old}).found:
                    return self.change_tables(execute, sql)
                self._fill(sql, old)
            return execute(sql)
        finally:
            self.told = outer

    def tell(self, column: str) -> Any:
        """Return what a column of an entry holds that is being written."""
        # Outside Django's cursors nothing says when the next statement begins.
        told = {} if self.told is None else self.told
        if not told:
            told |= who_acts(current_actor(), self.connection.alias)
            # SQLite keeps it in UTC, or as it is where the project has no time zones.
            told["created_at"] = str(timezone.now().replace(tzinfo=None))
        return told[column]

    def _fill(self, sql: str, table: str) -> None:
        """Fill the columns of a recorded table that become NOT NULL, before it is copied."""
        for filled in FILLED.finditer(sql) if table in registry.tables_that_matter() else ():
            column = f'"{filled[1]}"'
            fill = f'UPDATE "{table}" SET {column} = {filled[0]} WHERE {column} IS NULL'  # noqa: S608
            with self.connection.cursor() as cursor:
                cursor.execute(fill)

    def _replace(self, execute: Execute, sql: str) -> Any:
        """Let SQLite fire triggers for replaced rows, which it does only on request."""
        raw: Any = self.connection.connection
        ((before,),) = raw.execute("PRAGMA recursive_triggers").fetchall()
        raw.execute("PRAGMA recursive_triggers = ON")
        try:
            return execute(sql)
        finally:
            raw.execute(f"PRAGMA recursive_triggers = {before}")
