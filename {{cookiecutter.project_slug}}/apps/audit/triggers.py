"""The triggers of a database: which should be there, which are, and how to correct that.

Those on the trail itself keep entries and seals as they are, no matter who asks for a change. There
are two exceptions, and each needs a statement that stays. Entries can be deleted if a pruning, a
link of the chain of seals, covers them. Personal values can give way to a mark if an entry of the
action ``forget`` lists them. A link has the next number, and covers no entry that is not there yet.
"""

import json
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from . import registry
from .capture import PREFIX, Capture, Trigger, user_field
from .models import Entry, Seal
from .postgresql import PostgreSQLCapture
from .sqlite import SQLiteCapture
from .values import FORGOTTEN, MARKS

CAPTURES: Final[dict[str, Any]] = {"postgresql": PostgreSQLCapture, "sqlite": SQLiteCapture}
ENTRIES: Final = Entry._meta.db_table
SEALS: Final = Seal._meta.db_table
# The tables of the trail itself.
KEPT: Final = frozenset({ENTRIES, SEALS})
REFUSAL: Final = "The audit trail is append-only: {table} cannot be changed or deleted."
MISFIT: Final = "The chain of seals takes only the next link, over entries that there are."
PRUNED: Final = "(OLD.id <= (SELECT MAX(until) FROM {seals} WHERE kind = 'pruning')) IS NOT TRUE"
# A pruning says how many entries it covers. The ids that the database has assigned are the limit,
# because an entry can be added under any other id.
UNFIT: Final = (
    "NEW.until > ({last_assigned_id}) OR NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM"
    " {seals}) OR NEW.kind = 'pruning' AND NEW.count <>"
    " (SELECT COUNT(*) FROM {entries} WHERE id <= NEW.until)"
)
LAST_ASSIGNED_ID: Final = {
    "postgresql": "SELECT last_value FROM {schema}audit_entry_id_seq",
    "sqlite": "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'audit_entry'",
}
# An entry names the statement by which its values are forgotten, and the statement lists the entry.
# Each statement counts once. Only names and the values of listed fields can give way to the mark.
FORGETS: Final = """NOT EXISTS (
    SELECT 1 FROM {entries} AS told
    WHERE told.id = {by} AND told.action = 'forget' AND {reason} <> ''
    AND {by} {is_not} {before} AND ({in_object} OR {in_actor}) AND {same}
    AND (NEW.object_repr = OLD.object_repr OR NEW.object_repr = '{mark}' AND {in_object})
    AND (NEW.actor_name = OLD.actor_name OR NEW.actor_name = '{mark}' AND {in_actor})
    AND (SELECT {names} FROM {each}(OLD.changes) WHERE key <> '{mark}')
        = (SELECT {names} FROM {each}(NEW.changes) WHERE key <> '{mark}')
    AND NOT EXISTS (
        SELECT 1 FROM {each}(OLD.changes) AS former
        JOIN {each}(NEW.changes) AS later ON later.key = former.key
        WHERE later.key <> '{mark}' AND {other}
        AND ({marked} AND {in_object} AND {in_fields}) IS NOT TRUE
    )
)"""
PARTS: Final = {
    "postgresql": {
        "by": f"(NEW.changes -> '{FORGOTTEN}' -> 'by' ->> -1)::bigint",
        "before": f"(OLD.changes -> '{FORGOTTEN}' -> 'by' ->> -1)::bigint",
        "reason": "told.changes -> '' ->> 'reason'",
        "in_object": "told.changes -> '' -> 'object' @> to_jsonb(OLD.id)",
        "in_actor": "told.changes -> '' -> 'actor' @> to_jsonb(OLD.id)",
        "in_fields": "told.changes -> '' -> 'fields' -> OLD.model_label @> to_jsonb(later.key)",
        "each": "jsonb_each",
        "names": "coalesce(jsonb_agg(key), '[]')",
        "other": "later.value <> former.value",
        "marked": f"later.value = '{MARKS['postgresql']}'",
    },
    "sqlite": {
        "by": f"""json_extract(NEW.changes, '$."{FORGOTTEN}".by[#-1]')""",
        "before": f"""json_extract(OLD.changes, '$."{FORGOTTEN}".by[#-1]')""",
        "reason": """json_extract(told.changes, '$."".reason')""",
        "in_object": """OLD.id IN (SELECT value FROM json_each(told.changes, '$."".object'))""",
        "in_actor": """OLD.id IN (SELECT value FROM json_each(told.changes, '$."".actor'))""",
        "in_fields": "later.key IN (SELECT value FROM json_each("
        """told.changes, '$."".fields."' || OLD.model_label || '"'))""",
        "each": "json_each",
        "names": "json_group_array(key)",
        "other": "(later.type, later.value) IS NOT (former.type, former.value)",
        "marked": f"later.type = 'object' AND later.value = '{MARKS['sqlite']}'",
    },
}

# By the alias of a database: what its triggers were last made of, and these by their names.
_made: Final[dict[str, tuple[Any, dict[str, Trigger]]]] = {}


class Triggers:
    """The triggers that a database should have, and those that it has.

    ``tables`` are those to look at while a migration changes them; None means all, between
    migrations.
    """

    def __init__(self, connection: BaseDatabaseWrapper, tables: Set[str] | None = None) -> None:
        self.connection, self.kind = connection, CAPTURES[connection.vendor]
        named = tables or {model._meta.db_table for model in registry.recorded()}
        names = sorted({*named, *KEPT, user_field().model._meta.db_table})
        rows = self._rows(self.kind.find_columns, json.dumps(names))
        schemas, columns = dict[str, str](), dict[str, dict[str, str]]()
        for schema, table, column, kind in rows:
            schemas[table] = schema
            columns.setdefault(table, {})[column] = kind
        # The tables of the trail that are missing, and the tables to record that are there.
        self.lost, self.recorded = KEPT - columns.keys(), columns.keys() - KEPT
        self.capture = self.kind(connection, schemas, columns, migrating=tables is not None)
        self.wanted = {} if self.lost else self._wanted(tables)
        self.found = {
            name: found
            for name, *found in self._rows(self.kind.find_triggers, PREFIX)
            if tables is None or found[0] in tables
        }
        # Triggers that are not there or not what they should be, and names that should not be there.
        self.missing = [
            one for one in self.wanted.values() if self.found.get(one.name) != one.found
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
        capture = self.capture
        basis = (registry.audited_models(), tables, capture.schemas, capture.columns)
        before, made = _made.get(self.connection.alias, (None, {}))
        if before != basis:
            found = [*append_only(capture)]
            for model in registry.recorded():
                if capture.has(model, model._meta.pk):
                    found += capture.of(model)
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
            return list(cursor.fetchall())


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
    return [
        f"The trigger {name} of the audit trail {why}. {remedy}" for name, why in found.items()
    ] + [
        f"{model._meta.label} is audited, but {model._meta.db_table} is no table that can have"
        " triggers: nothing is recorded. Take the model off AUDITED_MODELS."
        for model in registry.recorded()
        if model._meta.db_table not in there.recorded and _can_be_read(model, connection.alias)
    ]


def _can_be_read(model: type[Model], using: str) -> bool:
    """Whether a query of a model works, also where no table has the name, as with a view."""
    with suppress(DatabaseError), transaction.atomic(using=using):
        QuerySet(model, using=using).exists()
        return True
    return False


@contextmanager
def without_protection(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Remove the triggers from entries and seals for a block, in one transaction with the block.

    This is for tests, and for cases without another way, such as the order of a court. It needs
    the right to change the structure of the tables. ``verify`` still finds the changes.
    """
    with transaction.atomic(using=connection.alias):
        Triggers(connection, KEPT).drop()
        yield
        Triggers(connection, KEPT).put_right()


def append_only(capture: Capture) -> Iterator[Trigger]:
    """Make the triggers of the two tables."""
    vendor = capture.connection.vendor
    names = {"entries": capture.at(Entry), "seals": capture.at(Seal)}
    names["last_assigned_id"] = LAST_ASSIGNED_ID[vendor].format(schema=capture.schema)
    same = _same(capture, Entry, {"object_repr", "actor_name", "changes"})
    more = PARTS[vendor] | {"mark": FORGOTTEN, "is_not": capture.is_not, "same": same}
    forgets, pruned = FORGETS.format(**names, **more), PRUNED.format(**names)
    salted = f"NOT ({_same(capture, Seal, {'salts'})} AND length(NEW.salts) = length(OLD.salts))"
    for table, changed, gone in ((ENTRIES, forgets, pruned), (SEALS, salted, "TRUE")):
        refusal = REFUSAL.format(table=table)
        yield capture.refusal(table, "UPDATE", changed, refusal)
        yield capture.refusal(table, "DELETE", gone, refusal)
        if vendor == "postgresql":
            yield capture.refusal(table, "TRUNCATE", "TRUE", refusal)
        elif table == ENTRIES:
            # INSERT OR REPLACE deletes the row that it replaces, and does not ask the trigger above.
            # A key that the database has not assigned yet is -1 here, and costs no search.
            there = f"NEW.id > 0 AND EXISTS (SELECT 1 FROM {ENTRIES} WHERE id = NEW.id)"  # noqa: S608
            yield capture.refusal(table, "INSERT", there, refusal)
    yield capture.refusal(SEALS, "INSERT", UNFIT.format(**names), MISFIT)


def _same(capture: Capture, model: type[Model], changeable: Set[str]) -> str:
    """Return the condition that an UPDATE leaves all other columns as they are."""
    return " AND ".join(
        f"NOT (NEW.{field.column} {capture.is_not} OLD.{field.column})"
        for field in model._meta.local_concrete_fields
        if field.column not in changeable
    )


def last_assigned_id(connection: BaseDatabaseWrapper) -> int:
    """Return the highest id that a database has assigned to an entry, which may be gone now.

    On SQLite it may also be the id that a program has chosen: later ids follow it.
    """
    with connection.cursor() as cursor:
        cursor.execute(LAST_ASSIGNED_ID[connection.vendor].format(schema=""))
        return int(cursor.fetchone()[0])
