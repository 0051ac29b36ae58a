"""The entries for rows of a table, written by the database in one statement for however many.

Each function stands right before or after the write that it records, in one
transaction with it. It takes the rows' old and new values from the table, not
from instances, which may be stale, incomplete or something else altogether.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ManyToManyField, Model
from django.utils import timezone

from apps.core.actor import current_actor, current_request_id, current_source

from .dialects import dialect_of
from .models import Entry
from .registry import Audited, Recorded, fields_of

# A condition on rows, and its parameters.
type Condition = tuple[str, tuple[Any, ...]]

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
    if recorded.audited:
        sql = _whole_sql(recorded.audited, Entry.Action.CREATE, rows[0], using)
        _insert(recorded.audited, Entry.Action.CREATE, using, name, sql, rows[1])
    _record_links(recorded, "added", rows, using)


def record_deleted(recorded: Recorded, rows: Condition, using: str, name: str) -> None:
    """Record rows that are about to be deleted, and the links that they are."""
    if recorded.audited:
        sql = _whole_sql(recorded.audited, Entry.Action.DELETE, rows[0], using)
        _insert(recorded.audited, Entry.Action.DELETE, using, name, sql, rows[1], look_up_name=True)
    _record_links(recorded, "removed", rows, using)


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
    """Lock rows that are about to be updated; return the key and the old values of each."""
    connection = connections[using]
    dialect = dialect_of(connection)
    where, params = rows
    columns = ", ".join(dialect.value(field, _column(field, connection)) for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_column(audited.model._meta.pk, connection)}, {columns}"  # noqa: S608  made of names of columns
            f" FROM {_table(audited.model, connection)}{_where(where)}{dialect.lock_to_update}",
            params,
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def record_remembered(
    audited: Audited, fields: Sequence[Field], before: list[tuple[Any, ...]], using: str, name: str
) -> None:
    """Record what became of rows whose old values ``remember`` has returned."""
    connection = connections[using]
    dialect = dialect_of(connection)
    table, pk = _table(audited.model, connection), audited.model._meta.pk
    key = f"{table}.{_column(pk, connection)}"
    columns, compared = [], []
    for number, field in enumerate(fields, start=1):
        old, new = f"old{number}", f"new{number}"
        columns.append(f"{dialect.remembered_text(number)} AS {old}")
        columns.append(dialect.value(field, f"{table}.{_column(field, connection)}") + f" AS {new}")
        compared.append(Compared(field.name, f"{old} <> {new}", old, new))
    selected = (
        f"SELECT {key} AS pk, {', '.join(columns)}"  # noqa: S608
        f" FROM {table} JOIN {dialect.remembered(pk, key, connection)}"
    )
    sql = _changed_sql(audited, compared, selected, using)
    _insert(audited, Entry.Action.UPDATE, using, name, sql, [json.dumps(before, default=str)])


def lock(model: type[Model], rows: Condition, using: str) -> list[Any]:
    """Lock rows that are about to be deleted; return their keys."""
    connection = connections[using]
    column = _column(model._meta.pk, connection)
    where, params = rows
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM {_table(model, connection)}{_where(where)}"  # noqa: S608
            f"{dialect_of(connection).lock_to_delete}",
            params,
        )
        return [key for (key,) in cursor.fetchall()]


def text_of(instance: Model) -> str:
    """Return what an object is called, at most 200 characters."""
    try:
        return str(instance)[:200]
    except Exception:  # noqa: BLE001  a name that cannot be made must not stop the change itself
        return f"{instance._meta.verbose_name} {instance.pk}"[:200]


def _record_links(recorded: Recorded, verb: str, rows: Condition, using: str) -> None:
    for audited, field in recorded.links:
        sql = _links_sql(audited, field, verb, rows[0], using)
        _insert(audited, Entry.Action.UPDATE, using, "", sql, rows[1], look_up_name=True)


@lru_cache(maxsize=200)
def _whole_sql(audited: Audited, action: Entry.Action, where: str, using: str) -> str:
    """Select all values of rows, as new ones or, for a deletion, as old ones."""
    connection = connections[using]
    dialect = dialect_of(connection)
    deleted = action == Entry.Action.DELETE
    parts = []
    for field in fields_of(audited):
        value = f"' || {dialect.value(field, _column(field, connection))} || '"
        old, new = (value, "null") if deleted else ("null", value)
        parts.append(_change(audited, field.name, old, new))
    pk = _column(audited.model._meta.pk, connection)
    lock = dialect.lock_to_delete if deleted else ""
    table = _table(audited.model, connection)
    selected = (
        f"SELECT {pk} AS pk, '{_object(*parts)}' AS changes"  # noqa: S608
        f" FROM {table}{_where(where)} ORDER BY {pk}{lock}"
    )
    return _selected(audited, "changes", using, selected, look_up_name=deleted)


@lru_cache(maxsize=200)
def _assigned_sql(
    audited: Audited, assigned: tuple[tuple[str, str], ...], where: str, using: str
) -> str:
    """Select old and new values of rows that are about to be updated."""
    connection = connections[using]
    dialect = dialect_of(connection)
    columns, compared = [], []
    for number, (name, sql) in enumerate(assigned, start=1):
        field: Any = audited.model._meta.get_field(name)
        old, new = f"old{number}", f"new{number}"
        columns.append(_column(field, connection) + f" AS {old}")
        columns.append(dialect.assigned(field, sql, connection) + f" AS {new}")
        compared.append(
            Compared(
                name,
                dialect.differs(field, old, new),
                dialect.value(field, old),
                dialect.value(field, new),
            )
        )
    selected = (
        f"SELECT {_column(audited.model._meta.pk, connection)} AS pk, {', '.join(columns)}"  # noqa: S608
        f" FROM {_table(audited.model, connection)}{_where(where)}{dialect.lock_to_update}"
    )
    return _changed_sql(audited, compared, selected, using)


def _changed_sql(audited: Audited, compared: Sequence[Compared], selected: str, using: str) -> str:
    """Select the changes of the rows of a query that has the old and the new values."""
    parts = []
    for one in compared:
        change = _change(audited, one.name, f"' || {one.old} || '", f"' || {one.new} || '")
        parts.append(f"CASE WHEN {one.differs} THEN ',{change}' ELSE '' END")
    changes = f"'{_object(f"' || substr({' || '.join(parts)}, 2) || '")}'"
    differences = " OR ".join(one.differs for one in compared)
    return _selected(audited, changes, using, selected) + f" WHERE {differences}"


@lru_cache(maxsize=200)
def _links_sql(audited: Audited, field: ManyToManyField, verb: str, where: str, using: str) -> str:
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
    lock = dialect.lock_to_delete if verb == "removed" else ""
    selected = (
        f"SELECT {source} AS pk, {dialect.value(pointing, target)} AS target"  # noqa: S608
        f" FROM {_table(through, connection)}{_where(where)} ORDER BY {source}, {target}{lock}"
    )
    changes = f"'{_object(f'"{field.name}":{change}')}'"
    return _selected(audited, changes, using, selected, look_up_name=True) + " GROUP BY pk"


def _selected(
    audited: Audited, changes: str, using: str, selected: str, *, look_up_name: bool = False
) -> str:
    """Begin a statement that adds an entry for each row of a query, which has the key as ``pk``.

    An object that has no instance at hand can be given the name it was last known by.
    """
    connection = connections[using]
    dialect, meta = dialect_of(connection), Entry._meta
    table, key = _table(Entry, connection), dialect.key(audited.model._meta.pk, "pk")
    columns = ", ".join(
        _column(meta.get_field(name), connection) for name in (*SHARED, "object_id", "changes")
    )
    name = "%s"
    if look_up_name:
        name = (
            f"coalesce(nullif(%s, ''), (SELECT known.object_repr FROM {table} AS known"  # noqa: S608
            f" WHERE known.content_type_id = %s AND known.object_id = {key}"
            " AND known.object_repr <> '' ORDER BY known.id DESC LIMIT 1), '')"
        )
    return (
        f"INSERT INTO {table} ({columns})"  # noqa: S608
        f" SELECT %s, %s, %s, %s, {name}, %s, %s, %s, %s, {key}, {dialect.json(changes)}"
        f" FROM ({selected}) AS selected"
    )


def _insert(
    audited: Audited,
    action: Entry.Action,
    using: str,
    name: str,
    sql: str,
    params: Iterable[Any],
    *,
    look_up_name: bool = False,
) -> None:
    """Run such a statement, with who is acting, in the database of the change."""
    connection = connections[using]
    actor = current_actor()
    content_type = ContentType.objects.db_manager(using).get_for_model(audited.model).pk
    shared = (
        CREATED_AT.get_db_prep_save(timezone.now(), connection),
        action.value,
        content_type,
        audited.model._meta.label,
        name,
        *([content_type] if look_up_name else []),
        ACTOR.get_db_prep_save(actor.pk, connection) if actor else None,
        actor.get_username() if actor else "",
        "fixture" if from_fixture.get() else current_source(),
        current_request_id(),
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, (*shared, *params))


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
