"""The triggers of a database: which should be there, which are, and how to correct that."""

import json
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from . import append_only, registry
from .capture import PREFIX, Trigger, user_field
from .models import Entry
from .postgresql import PostgreSQLCapture
from .sqlite import SQLiteCapture

CAPTURES: Final[dict[str, Any]] = {"postgresql": PostgreSQLCapture, "sqlite": SQLiteCapture}
# The tables of the trail itself.
KEPT: Final = frozenset({append_only.ENTRIES, append_only.SEALS})

# By the alias of a database: what its triggers were last made of, and these by their names.
_made: Final[dict[str, tuple[Any, dict[str, Trigger]]]] = {}


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
        self.connection, self.kind = connection, CAPTURES[connection.vendor]
        named = tables or {model._meta.db_table for model in registry.recorded()}
        names = sorted({*named, *KEPT, user_field().model._meta.db_table})
        rows = self._rows(self.kind.find_columns, json.dumps(names))
        schema, columns = max((row[0] for row in rows), default=""), dict[str, set[str]]()
        for _, table, column in rows:
            columns.setdefault(table, set()).add(column)
        # The tables of the trail that are missing, and the tables to record that are there.
        self.lost, self.recorded = KEPT - columns.keys(), columns.keys() - KEPT
        self.capture = self.kind(connection, schema, columns, migrating=migrating)
        self.wanted = {} if self.lost else self._wanted(tables)
        self.found = {
            name: found
            for name, *found in self._rows(self.kind.find_triggers, PREFIX)
            if tables is None or found[0] in tables
        }
        # The triggers that are not there or not what they should be, and the names of others that
        # should not be there.
        self.missing = [
            one for name, one in self.wanted.items() if self.found.get(name) != one.found
        ]
        self.superfluous = sorted(self.found.keys() - self.wanted)

    def put_right(self) -> None:
        """Add, replace and remove; what is as it should be is not locked."""
        statements = [sql for one in self.missing for sql in one.creation]
        self._run(statements + [self.capture.removal(name) for name in self.superfluous])

    def drop(self) -> None:
        """Take the triggers off."""
        self._run([self.capture.removal(name) for name in self.found])

    def _wanted(self, tables: Set[str] | None) -> dict[str, Trigger]:
        """Make the triggers by their names, unless those made last are of the same."""
        capture, recorded = self.capture, registry.recorded()
        basis = (recorded, tables, capture.schema, capture.columns, capture.migrating)
        before, made = _made.get(self.connection.alias, (None, {}))
        if before != basis:
            found = [*append_only.triggers(capture)]
            for model, how in recorded.items():
                if capture.has(model, model._meta.pk):
                    found += capture.of(model, how)
            made = {one.name: one for one in found if tables is None or one.table in tables}
            _made[self.connection.alias] = basis, made
        return made

    def _run(self, statements: list[str]) -> None:
        if statements:
            atomic = transaction.atomic(using=self.connection.alias)
            with atomic, self.connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def _rows(self, sql: str, *params: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def is_kept_in(connection: BaseDatabaseWrapper) -> bool:
    """Whether the trail is kept in a database."""
    return connection.vendor in CAPTURES and router.allow_migrate_model(connection.alias, Entry)


def trails() -> list[str]:
    """List the databases in which the trail is kept."""
    return [alias for alias in connections if is_kept_in(connections[alias])]


def install(connection: BaseDatabaseWrapper) -> None:
    """Give a database the triggers that it should have."""
    if is_kept_in(connection):
        Triggers(connection).put_right()


def faults(connection: BaseDatabaseWrapper) -> list[str]:
    """Say which triggers a database lacks, and which are not what they should be."""
    if not is_kept_in(connection):
        return []
    there = Triggers(connection)
    remedy = f"Run `manage.py migrate --database {connection.alias}`."
    if there.lost and there.recorded:
        lost = min(there.lost)
        return [f"Nothing is recorded in {connection.alias!r}, which has no table {lost}. {remedy}"]
    found = {
        one.name: f"on the table {one.table} is"
        f" {'not what it should be' if one.name in there.found else 'missing'}"
        for one in there.missing
    } | dict.fromkeys(there.superfluous, "should not be there")
    views = {*connection.introspection.table_names(include_views=True)}
    return [
        f"The trigger {name} of the audit trail {why}. {remedy}" for name, why in found.items()
    ] + [
        f"{model._meta.label} is audited, but {model._meta.db_table} is no table that can have"
        " triggers: nothing is recorded. Take the model off AUDITED_MODELS."
        for model in registry.recorded()
        if model._meta.db_table in views - there.recorded
    ]


@contextmanager
def without_protection(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Remove the triggers from entries and seals for a block, in one transaction with the block.

    This is for tests, which empty all tables, and for cases without another way, such as the
    order of a court. It needs the right to change the structure of the tables. Seals stay in
    force: ``verify`` finds the changes.
    """
    with transaction.atomic(using=connection.alias):
        Triggers(connection, KEPT).drop()
        yield
        Triggers(connection, KEPT).put_right()
