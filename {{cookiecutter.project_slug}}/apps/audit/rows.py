"""The entries for rows of a table, written by the database in one statement for however many.

The rows' old and new values come from the table, not from instances, which may be
stale, incomplete or something else altogether. Where a database can, the write
and its entries are one statement (``updating``, ``deleting``); the ``record_…``
functions stand right before or after the write, in one transaction with it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ManyToManyField, Model
from django.utils import timezone

from apps.core.actor import current_actor, current_request_id, current_source

from .dialects import SQLITE, Dialect, dialect_of
from .models import Entry
from .registry import Audited, Recorded, fields_of

# SQL and its parameters: a condition on rows, or a whole statement.
type Condition = tuple[str, tuple[Any, ...]]
type Statement = tuple[str, tuple[Any, ...]]

# Whether what is written comes from a fixture: its author is not who loads it.
from_fixture: Final = ContextVar("from_fixture", default=False)

# The columns of an entry that are the same for all rows of a statement.
SHARED: Final = (
    "created_at",
    "action",
    "content_type",
    "model_label",
    "object_repr",
    "actor",
    "actor_name",
    "source",
    "request_id",
)

# What stands in the place of values that stay out of the trail.
MASKED: Final = '{"masked":true}'

CREATED_AT: Final[Any] = Entry._meta.get_field("created_at")
ACTOR: Final[Any] = Entry._meta.get_field("actor")


class Compared(NamedTuple):
    """SQL for a field: whether old and new value differ, and each as JSON text."""

    name: str
    differs: str
    old: str
    new: str


def with_keys(model: type[Model], keys: Iterable[Any], using: str) -> Condition:
    """Select rows by their keys."""
    connection = connections[using]
    pk = model._meta.pk
    column = _column(pk, connection)
    prepared = [pk.get_db_prep_value(key, connection) for key in keys]
    if len(prepared) == 1:
        return f"{column} = %s", (prepared[0],)
    dialect = dialect_of(connection)
    return dialect.among(column), (dialect.keys(prepared),)


def record_created(recorded: Recorded, rows: Condition, using: str, name: str) -> None:
    """Record rows that have just been inserted, and the links that they are."""
    where, params = rows
    connection = connections[using]
    if recorded.audited:
        table = _table(recorded.audited.model, connection)
        sql = _whole_sql(recorded.audited, Entry.Action.CREATE, table, where, using, named=True)
        _insert(recorded.audited, Entry.Action.CREATE, using, name, sql, params)
    for audited, field in recorded.links:
        through: Any = field.remote_field.through
        table = _table(through, connection)
        sql = _links_sql(audited, field, "added", table, where, using)
        _insert(audited, Entry.Action.UPDATE, using, None, sql, params)


def record_deleted(
    recorded: Recorded, model: type[Model], rows: Condition, using: str, name: str | None
) -> None:
    """Record rows that are about to be deleted, and the links that they are."""
    where, params = rows
    table = _table(model, connections[using])
    for sql, shared in _deletions(recorded, table, where, using, name):
        with connections[using].cursor() as cursor:
            cursor.execute(sql, (*shared, *params))


def deleting(recorded: Recorded, delete: Statement, using: str, name: str | None) -> Statement:
    """Return a DELETE that records its rows as well, and the links that they are.

    It tells how many rows have gone by returning as many, without columns.
    """
    sql, params = f"WITH gone AS ({delete[0]} RETURNING *)", [*delete[1]]
    for number, (insert, shared) in enumerate(_deletions(recorded, "gone", "", using, name)):
        sql += f", recorded{number} AS ({insert})"
        params += shared
    return f"{sql} SELECT FROM gone", tuple(params)


def updating(
    audited: Audited,
    fields: Sequence[Field],
    update: Statement,
    rows: Condition,
    returned: Sequence[Field],
    using: str,
    name: str,
) -> Statement:
    """Return an UPDATE that records its rows as well.

    Its ``update`` is given without a condition, and ``returned`` are the columns
    that it returns of each row, which may be none.
    """
    names = tuple(field.name for field in fields)
    columns = tuple(field.column for field in returned)
    sql = _updating_sql(audited, names, rows[0], columns, using)
    shared = _shared(audited, Entry.Action.UPDATE, using, name)
    return f"WITH changed AS ({update[0]}{sql}", (*update[1], *rows[1], *shared)


def record_assigned(
    audited: Audited,
    assigned: Mapping[str, str],
    params: Sequence[Any],
    rows: Condition,
    using: str,
    name: str,
) -> None:
    """Record rows that are about to be updated with values that are known already.

    ``assigned`` maps the names of the fields to the SQL of what they are given.
    """
    where, where_params = rows
    sql = _assigned_sql(audited, tuple(assigned.items()), where, using)
    _insert(audited, Entry.Action.UPDATE, using, name, sql, (*params, *where_params))


def remember(
    audited: Audited, fields: Sequence[Field], rows: Condition, using: str
) -> list[tuple[Any, ...]]:
    """Return the key and the old values of rows that are about to be updated."""
    connection = connections[using]
    where, params = rows
    columns = ", ".join(SQLITE.value(field, _column(field, connection)) for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_column(audited.model._meta.pk, connection)}, {columns}"  # noqa: S608  made of names of columns
            f" FROM {_table(audited.model, connection)}{_where(where)}",
            params,
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def record_remembered(
    audited: Audited, fields: Sequence[Field], before: list[tuple[Any, ...]], using: str, name: str
) -> None:
    """Record what became of rows whose old values ``remember`` has returned."""
    connection = connections[using]
    table, pk = _table(audited.model, connection), audited.model._meta.pk
    key = f"{table}.{_column(pk, connection)}"
    columns, compared = [], []
    for number, field in enumerate(fields, start=1):
        old, new = f"old{number}", f"new{number}"
        columns.append(f"{SQLITE.remembered_text(number)} AS {old}")
        columns.append(SQLITE.value(field, f"{table}.{_column(field, connection)}") + f" AS {new}")
        compared.append(Compared(field.name, f"{old} <> {new}", old, new))
    selected = (
        f"(SELECT {key} AS pk, {', '.join(columns)}"  # noqa: S608
        f" FROM {table} JOIN {SQLITE.remembered(key)}) AS changed"
    )
    sql = _changed_sql(audited, compared, selected, using)
    _insert(audited, Entry.Action.UPDATE, using, name, sql, [json.dumps(before, default=str)])


def text_of(instance: Model) -> str:
    """Return what an object is called, at most 200 characters."""
    try:
        return str(instance)[:200]
    except Exception:  # noqa: BLE001  a name that cannot be made must not stop the change itself
        return f"{instance._meta.verbose_name} {instance.pk}"[:200]


def _deletions(
    recorded: Recorded, table: str, where: str, using: str, name: str | None
) -> Iterator[Statement]:
    """Make the statements that record rows which go, each without the parameters of ``where``."""
    audited = recorded.audited
    if audited:
        action, named = Entry.Action.DELETE, name is not None
        sql = _whole_sql(audited, action, table, where, using, named=named)
        yield sql, _shared(audited, action, using, name)
    for audited, field in recorded.links:
        sql = _links_sql(audited, field, "removed", table, where, using)
        yield sql, _shared(audited, Entry.Action.UPDATE, using, None)


@lru_cache(maxsize=200)
def _whole_sql(
    audited: Audited, action: Entry.Action, table: str, where: str, using: str, *, named: bool
) -> str:
    """Select all values of rows, as new ones or, for a deletion, as old ones."""
    connection = connections[using]
    dialect = dialect_of(connection)
    parts = []
    for field in fields_of(audited):
        value = f"' || {dialect.value(field, _column(field, connection))} || '"
        old, new = (value, "null") if action == Entry.Action.DELETE else ("null", value)
        parts.append(_change(audited, field.name, old, new))
    pk = _column(audited.model._meta.pk, connection)
    rows = (
        f"(SELECT {pk} AS pk, '{_object(*parts)}' AS changes"  # noqa: S608
        f" FROM {table}{_where(where)} ORDER BY {pk}) AS whole"
    )
    return _selected(audited, "changes", using, rows, named=named)


@lru_cache(maxsize=200)
def _assigned_sql(
    audited: Audited, assigned: tuple[tuple[str, str], ...], where: str, using: str
) -> str:
    """Select old and new values of rows that are about to be updated."""
    connection = connections[using]
    columns, compared = [], []
    for number, (name, sql) in enumerate(assigned, start=1):
        field: Any = audited.model._meta.get_field(name)
        columns.append(f"{_column(field, connection)} AS old{number}")
        columns.append(f"{SQLITE.assigned(field, sql)} AS new{number}")
        compared.append(_compared(field, number, SQLITE))
    selected = (
        f"(SELECT {_column(audited.model._meta.pk, connection)} AS pk, {', '.join(columns)}"  # noqa: S608
        f" FROM {_table(audited.model, connection)}{_where(where)}) AS changed"
    )
    return _changed_sql(audited, compared, selected, using)


@lru_cache(maxsize=200)
def _updating_sql(
    audited: Audited, names: tuple[str, ...], where: str, returned: tuple[str, ...], using: str
) -> str:
    """Complete an UPDATE so that it locks and reads its rows, changes and records them.

    The rows are found, and locked, by a SELECT. So their old values are those that the
    UPDATE overwrites even if another writer was waited for, and so is the condition.
    """
    connection = connections[using]
    dialect = dialect_of(connection)
    quote, table = connection.ops.quote_name, _table(audited.model, connection)
    pk = _column(audited.model._meta.pk, connection)
    old, both, compared = [f"{pk} AS audit_pk"], ["audit_pk AS pk"], []
    for number, name in enumerate(names, start=1):
        field: Any = audited.model._meta.get_field(name)
        column = _column(field, connection)
        old.append(f"{column} AS audit_old{number}")
        both.append(f"audit_old{number} AS old{number}, {table}.{column} AS new{number}")
        compared.append(_compared(field, number, dialect))
    both += [f"{table}.{quote(column)} AS returned{n}" for n, column in enumerate(returned)]
    # The weaker lock lets others add rows that point here.
    return (
        f" FROM (SELECT {', '.join(old)} FROM {table}{_where(where)} FOR NO KEY UPDATE)"  # noqa: S608
        f" AS audit_found WHERE {table}.{pk} = audit_pk RETURNING {', '.join(both)}),"
        f" recorded AS ({_changed_sql(audited, compared, 'changed', using)})"
        f" SELECT {', '.join(f'returned{n}' for n in range(len(returned)))} FROM changed"
    )


def _compared(field: Field, number: int, dialect: Dialect) -> Compared:
    """Compare a field's old and new value, which are columns of a query."""
    old, new = f"old{number}", f"new{number}"
    differs = dialect.differs(field, old, new)
    return Compared(field.name, differs, dialect.value(field, old), dialect.value(field, new))


def _changed_sql(audited: Audited, compared: Sequence[Compared], rows: str, using: str) -> str:
    """Select the changes of rows of a query that has the old and the new values."""
    parts = []
    for one in compared:
        change = _change(audited, one.name, f"' || {one.old} || '", f"' || {one.new} || '")
        parts.append(f"CASE WHEN {one.differs} THEN ',{change}' ELSE '' END")
    changes = f"'{_object(f"' || substr({' || '.join(parts)}, 2) || '")}'"
    differences = " OR ".join(one.differs for one in compared)
    return _selected(audited, changes, using, rows, named=True) + f" WHERE {differences}"


@lru_cache(maxsize=200)
def _links_sql(
    audited: Audited, field: ManyToManyField, verb: str, table: str, where: str, using: str
) -> str:
    """Select the links that rows of a join table are, together for each object that has the field."""
    connection = connections[using]
    dialect = dialect_of(connection)
    through: Any = field.remote_field.through
    source = _column(through._meta.get_field(field.m2m_field_name()), connection)
    pointing: Any = through._meta.get_field(field.m2m_reverse_field_name())
    target = _column(pointing, connection)
    targets = f"' || {dialect.joined('target')} || '"
    added, removed = (targets, "") if verb == "added" else ("", targets)
    change = _object(f'"added":[{added}]', f'"removed":[{removed}]')
    if field.name in audited.masked:
        change = MASKED
    links = (
        f"(SELECT {source} AS pk, {dialect.value(pointing, target)} AS target"  # noqa: S608
        f" FROM {table}{_where(where)} ORDER BY {source}, {target}) AS links"
    )
    changes = f"'{_object(f'"{field.name}":{change}')}'"
    return _selected(audited, changes, using, links, named=False) + " GROUP BY pk"


def _selected(audited: Audited, changes: str, using: str, rows: str, *, named: bool) -> str:
    """Begin a statement that adds an entry for each row of a query, which has the key as ``pk``.

    An object without an instance at hand can be given the name it was last known by.
    """
    connection = connections[using]
    dialect, meta = dialect_of(connection), Entry._meta
    table, key = _table(Entry, connection), dialect.key(audited.model._meta.pk, "pk")
    columns = ", ".join(
        _column(meta.get_field(name), connection) for name in (*SHARED, "object_id", "changes")
    )
    name = "%s"
    if not named:
        name = (
            f"coalesce((SELECT known.object_repr FROM {table} AS known"  # noqa: S608
            f" WHERE known.content_type_id = %s AND known.object_id = {key}"
            " AND known.object_repr <> '' ORDER BY known.id DESC LIMIT 1), '')"
        )
    return (
        f"INSERT INTO {table} ({columns})"  # noqa: S608
        f" SELECT %s, %s, %s, %s, {name}, %s, %s, %s, %s, {key}, {dialect.json(changes)}"
        f" FROM {rows}"
    )


def _insert(
    audited: Audited,
    action: Entry.Action,
    using: str,
    name: str | None,
    sql: str,
    params: Iterable[Any],
) -> None:
    """Run such a statement in the database of the change."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, (*_shared(audited, action, using, name), *params))


def _shared(
    audited: Audited, action: Entry.Action, using: str, name: str | None
) -> tuple[Any, ...]:
    """Return the parameters that such a statement begins with: who does what, and to what.

    Without a name, the statement must be one that looks it up.
    """
    connection = connections[using]
    actor = current_actor()
    content_type = ContentType.objects.db_manager(using).get_for_model(audited.model).pk
    return (
        CREATED_AT.get_db_prep_save(timezone.now(), connection),
        action.value,
        content_type,
        audited.model._meta.label,
        content_type if name is None else name,
        ACTOR.get_db_prep_save(actor.pk, connection) if actor else None,
        actor.get_username() if actor else "",
        "fixture" if from_fixture.get() else current_source(),
        current_request_id(),
    )


def _change(audited: Audited, name: str, old: str, new: str) -> str:
    """Return the JSON of a change, for the inside of an SQL text."""
    change = MASKED if name in audited.masked else _object(f'"old":{old}', f'"new":{new}')
    return f'"{name}":{change}'


def _object(*members: str) -> str:
    """Return a JSON object of members such as ``"old":1``."""
    return "{" + ",".join(members) + "}"


def _where(condition: str) -> str:
    return f" WHERE {condition}" if condition else ""


def _column(field: Any, connection: BaseDatabaseWrapper) -> str:
    return connection.ops.quote_name(field.column)


def _table(model: type[Model], connection: BaseDatabaseWrapper) -> str:
    return connection.ops.quote_name(model._meta.db_table)
