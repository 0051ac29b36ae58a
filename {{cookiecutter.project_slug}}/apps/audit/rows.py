"""The entries for rows of a table, written by the database in one statement for however many.

The rows' old and new values come from the table, not from instances, which may be
stale, incomplete or something else altogether. Where a database can, the write
and its entries are one statement (``linking``, ``updating``, ``deleting``); the ``record_…``
functions stand right before or after the write, in one transaction with it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import FETCH_ONE, Field, Model
from django.utils import timezone

from apps.core.actor import current_actor, current_request_id, current_source

from .dialects import SQLITE, Dialect, dialect_of
from .models import Entry
from .registry import Audited, Change, Link, Recorded, covering, fields_of

# SQL and its parameters: a condition on rows, or a whole statement.
type Condition = tuple[str, tuple[Any, ...]]
type Statement = tuple[str, tuple[Any, ...]]

# Whether what is written comes from a fixture: its author is not who loads it.
from_fixture: Final = ContextVar("from_fixture", default=False)

# The columns of an entry that are the same for all rows of a statement.
SHARED: Final = (
    "created_at",
    "action",
    "model_label",
    "object_repr",
    "actor",
    "actor_name",
    "source",
    "request_id",
)

# No database is content with fewer in one statement.
MOST_PARAMETERS: Final = 999

# What stands in the place of values that stay out of the trail.
MASKED: Final = '{"masked":true}'

CREATED_AT: Final[Any] = Entry._meta.get_field("created_at")
ACTOR: Final[Any] = Entry._meta.get_field("actor")


class Compared(NamedTuple):
    """SQL for a field: its old and its new value as members of JSON, and whether they differ."""

    name: str
    old: str
    new: str
    differs: str


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


def with_room(model: type[Model], rows: Condition, using: str, more: int) -> Condition:
    """Select rows by their keys where their condition leaves no room for ``more`` parameters."""
    where, params = rows
    if len(params) + more <= MOST_PARAMETERS:
        return rows
    connection = connections[using]
    most = connection.features.max_query_params
    if most is None or len(params) + more <= most:
        return rows
    pk, table = _column(model._meta.pk, connection), _table(model, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {pk} FROM {table}{_where(where)}", params)  # noqa: S608
        keys = [key for (key,) in cursor]
    dialect = dialect_of(connection)
    return dialect.among(pk), (dialect.keys(keys),)


def record_created(recorded: Recorded, rows: Condition, using: str, name: str) -> None:
    """Record rows that have just been inserted, and the links that they are."""
    where, params = rows
    connection = connections[using]
    if recorded.audited:
        table = _table(recorded.audited.model, connection)
        sql = _whole_sql(recorded.audited, Entry.Action.CREATE, table, where, using, named=True)
        _insert(recorded.audited, Entry.Action.CREATE, using, name, sql, params)
    for link in recorded.links:
        rows_sql = f"{_table(link.through, connection)}{_where(where)}"
        sql = _links_sql(link, "added", rows_sql, using)
        _insert(link.audited, Entry.Action.UPDATE, using, None, sql, params)


def linking(
    recorded: Recorded, insert: Statement, returned: Sequence[Field], using: str
) -> Statement:
    """Return an INSERT that records the links that its rows are as well."""
    connection = connections[using]
    sql, params = f"WITH made AS ({insert[0]} RETURNING *)", [*insert[1]]
    for number, link in enumerate(recorded.links):
        sql += f", recorded{number} AS ({_links_sql(link, 'added', 'made', using)})"
        params += _shared(link.audited, Entry.Action.UPDATE, using, None)
    columns = ", ".join(_column(field, connection) for field in returned)
    return f"{sql} SELECT {columns} FROM made", tuple(params)  # noqa: S608


def record_deleted(
    recorded: Recorded, model: type[Model], rows: Condition, using: str, name: str | None
) -> bool:
    """Record rows that are about to be deleted, and the links that they are.

    Say whether there can be any such rows.
    """
    where, params = with_room(model, rows, using, len(SHARED))
    table, added = _table(model, connections[using]), 0
    for sql, shared in _deletions(recorded, table, where, using, name):
        with connections[using].cursor() as cursor:
            cursor.execute(sql, (*shared, *params))
            added += cursor.rowcount
    return added > 0 or any(link.may_lack_an_end for link in recorded.links)


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
    change: Change,
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
    columns = tuple(field.column for field in returned)
    sql = _updating_sql(change, rows[0], columns, using)
    params = [*update[1], *rows[1]]
    for audited, known_as in _recorded_of(change, name):
        params += _shared(audited, Entry.Action.UPDATE, using, known_as)
    return f"WITH changed AS ({update[0]}{sql}", tuple(params)


def record_assigned(
    change: Change,
    assigned: Mapping[str, str],
    params: Sequence[Any],
    rows: Condition,
    using: str,
    name: str,
) -> None:
    """Record rows that are about to be updated with values that are known already.

    ``assigned`` maps the names of the fields to the SQL of what they are given.
    """
    where, where_params = with_room(change.model, rows, using, len(SHARED) + len(params))
    sql = _assigned_sql(change, tuple(assigned.items()), where, using)
    ((audited, known_as),) = _recorded_of(change, name)
    _insert(audited, Entry.Action.UPDATE, using, known_as, sql, (*params, *where_params))


def remember(change: Change, rows: Condition, using: str) -> list[tuple[Any, ...]]:
    """Return what rows hold that are about to be updated, the key first."""
    connection = connections[using]
    where, params = rows
    columns = [_column(change.model._meta.pk, connection)]
    columns += [SQLITE.value(field, _column(field, connection)) for field in change.fields]
    columns += [_column(field, connection) for field in _ends(change)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(columns)}"  # noqa: S608  made of names of columns
            f" FROM {_table(change.model, connection)}{_where(where)}",
            params,
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def record_remembered(change: Change, before: list[tuple[Any, ...]], using: str, name: str) -> None:
    """Record what became of rows of which ``remember`` has returned what they held."""
    connection = connections[using]
    table = _table(change.model, connection)
    key = f"{table}.{_column(change.model._meta.pk, connection)}"
    columns, compared = [f"{key} AS pk"], []
    for number, field in enumerate((*change.fields, *_ends(change)), start=1):
        old, new = f"old{number}", f"new{number}"
        now = f"{table}.{_column(field, connection)}"
        if number <= len(change.fields):
            now = SQLITE.value(field, now)
            compared.append(Compared(field.name, old, new, f"{old} <> {new}"))
        columns.append(f"{SQLITE.remembered_text(number)} AS {old}, {now} AS {new}")
    changed = f"(SELECT {', '.join(columns)} FROM {table} JOIN {SQLITE.remembered(key)}) AS changed"  # noqa: S608
    statements = _changes_sql(change, compared, changed, using)
    params = [json.dumps(before, default=str)]
    for sql, (audited, known_as) in zip(statements, _recorded_of(change, name), strict=True):
        _insert(audited, Entry.Action.UPDATE, using, known_as, sql, params)


def text_of(instance: Model) -> str:
    """Return what an object is called, at most 200 characters, without its masked values.

    A failure is nothing, but for that of a query, which ends a transaction in PostgreSQL.
    """
    try:
        name = str(instance)
    except Exception:  # noqa: BLE001  a name that cannot be made must not stop the change itself
        name = ""
    if not name or any(secret in name for secret in _secrets(instance)):
        name = f"{instance._meta.verbose_name} {instance.pk}"
    # No database takes half a surrogate pair, and PostgreSQL no NUL.
    return name[:200].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def name_of(instance: Model, using: str) -> str:
    """Return what an object is called that is being written, and leave the instance as it is."""
    return text_of(_twin(instance, using))


def _twin(instance: Model, using: str) -> Model:
    """Copy an instance, for a name that is made of what is not loaded yet would load it.

    The instance, and others that were fetched with it, must stay as they are: what
    is loaded would be written by the next save, over what others have written.
    """
    twin = type(instance).__new__(type(instance))
    vars(twin).update(vars(instance))
    twin._state = copy(instance._state)
    twin._state.fields_cache = {**instance._state.fields_cache}
    twin._state.fetch_mode = FETCH_ONE
    twin._state.peers = ()
    twin._state.db = using
    return twin


def _secrets(instance: Model) -> Iterator[str]:
    """Return the texts that must not stand in the name of an instance."""
    for audited in covering(type(instance)):
        for name in audited.masked:
            value = vars(instance).get(name)
            if value is not None and value != "" and not isinstance(value, bool):
                yield str(value)


def _deletions(
    recorded: Recorded, table: str, where: str, using: str, name: str | None
) -> Iterator[Statement]:
    """Make the statements that record rows which go, each without the parameters of ``where``."""
    audited = recorded.audited
    if audited:
        action, named = Entry.Action.DELETE, name is not None
        sql = _whole_sql(audited, action, table, where, using, named=named)
        yield sql, _shared(audited, action, using, name)
    for link in recorded.links:
        sql = _links_sql(link, "removed", f"{table}{_where(where)}", using)
        yield sql, _shared(link.audited, Entry.Action.UPDATE, using, None)


@lru_cache(maxsize=200)
def _whole_sql(
    audited: Audited, action: Entry.Action, table: str, where: str, using: str, *, named: bool
) -> str:
    """Select all values of rows, as new ones or, for a deletion, as old ones."""
    connection = connections[using]
    dialect = dialect_of(connection)
    changes, none = [], dialect.literal("null")
    for field in fields_of(audited):
        value = dialect.value(field, _column(field, connection))
        old, new = (value, none) if action == Entry.Action.DELETE else (none, value)
        changes.append(_change(audited, field.name, old, new, using))
    pk = _column(audited.model._meta.pk, connection)
    rows = (
        f"(SELECT {pk} AS pk, {dialect.object_of(changes)} AS changes"  # noqa: S608
        f" FROM {table}{_where(where)} ORDER BY {pk}) AS whole"
    )
    return _selected(audited, "changes", using, rows, named=named)


@lru_cache(maxsize=200)
def _assigned_sql(
    change: Change, assigned: tuple[tuple[str, str], ...], where: str, using: str
) -> str:
    """Select old and new values of rows that are about to be updated."""
    connection = connections[using]
    columns, compared = [_column(change.model._meta.pk, connection) + " AS pk"], []
    for number, (name, sql) in enumerate(assigned, start=1):
        field: Any = change.model._meta.get_field(name)
        columns.append(f"{_column(field, connection)} AS old{number}")
        columns.append(f"{SQLITE.assigned(field, sql)} AS new{number}")
        compared.append(_compared(field, number, SQLITE))
    changed = (
        f"(SELECT {', '.join(columns)}"  # noqa: S608
        f" FROM {_table(change.model, connection)}{_where(where)}) AS changed"
    )
    (recorded,) = _changes_sql(change, compared, changed, using)
    return recorded


@lru_cache(maxsize=200)
def _updating_sql(change: Change, where: str, returned: tuple[str, ...], using: str) -> str:
    """Complete an UPDATE so that it locks and reads its rows, changes and records them.

    The rows are found, and locked, by a SELECT. So their old values are those that the
    UPDATE overwrites even if another writer was waited for, and so is the condition.
    """
    connection = connections[using]
    dialect = dialect_of(connection)
    quote, table = connection.ops.quote_name, _table(change.model, connection)
    pk = _column(change.model._meta.pk, connection)
    old, both, compared = [f"{pk} AS audit_pk"], ["audit_pk AS pk"], []
    for number, field in enumerate((*change.fields, *_ends(change)), start=1):
        column = _column(field, connection)
        old.append(f"{column} AS audit_old{number}")
        both.append(f"audit_old{number} AS old{number}, {table}.{column} AS new{number}")
        if number <= len(change.fields):
            compared.append(_compared(field, number, dialect))
    both += [f"{table}.{quote(column)} AS returned{n}" for n, column in enumerate(returned)]
    statements = enumerate(_changes_sql(change, compared, "changed", using))
    recorded = "".join(f", recorded{number} AS ({sql})" for number, sql in statements)
    # The weaker lock lets others add rows that point here.
    return (
        f" FROM (SELECT {', '.join(old)} FROM {table}{_where(where)} FOR NO KEY UPDATE)"  # noqa: S608
        f" AS audit_found WHERE {table}.{pk} = audit_pk RETURNING {', '.join(both)}){recorded}"
        f" SELECT {', '.join(f'returned{n}' for n in range(len(returned)))} FROM changed"
    )


def _ends(change: Change) -> tuple[Field, ...]:
    """List the ends of the links of a change, two for each."""
    return tuple(end for link in change.links for end in (link.source, link.target))


def _recorded_of(change: Change, name: str) -> Iterator[tuple[Audited, str | None]]:
    """Say of what there are entries in ``_changes_sql``, in their order, and the names to give it."""
    if change.audited and change.fields:
        yield change.audited, name
    for link in change.links:
        yield link.audited, None


def _changes_sql(
    change: Change, compared: Sequence[Compared], changed: str, using: str
) -> Iterator[str]:
    """Select what has changed, of rows with the old and new values of fields and of ends of links."""
    if change.audited and compared:
        values = [_change(change.audited, one.name, one.old, one.new, using) for one in compared]
        conditions = [one.differs for one in compared]
        changes = dialect_of(connections[using]).some_of(values, conditions)
        selected = _selected(change.audited, changes, using, changed, named=True)
        yield f"{selected} WHERE {' OR '.join(conditions)}"
    for number, link in enumerate(change.links):
        yield _moved_sql(link, changed, len(change.fields) + 2 * number + 1, using)


def _compared(field: Field, number: int, dialect: Dialect) -> Compared:
    """Compare a field's old and new value, which are columns of a query."""
    old, new = f"old{number}", f"new{number}"
    differs = dialect.differs(field, old, new)
    return Compared(field.name, dialect.value(field, old), dialect.value(field, new), differs)


@lru_cache(maxsize=200)
def _links_sql(link: Link, verb: str, rows: str, using: str) -> str:
    """Select the links that rows of a join table are, together for each object that has the field."""
    connection = connections[using]
    source, target = _column(link.source, connection), _column(link.target, connection)
    links = f"(SELECT {source} AS pk, {target} AS target FROM {rows} ORDER BY 1, 2) AS links"  # noqa: S608
    changes = _links_change(link, verb, using)
    return (
        _selected(link.audited, changes, using, links, named=False)
        + f"{_with_both_ends(link)} GROUP BY pk"
    )


def _moved_sql(link: Link, changed: str, number: int, using: str) -> str:
    """Select the links that rows no longer are, and then those that they have become.

    ``number`` is that of the column with the source, and the next one that of the target.
    """
    dialect = dialect_of(connections[using])
    removed, added = _links_change(link, "removed", using), _links_change(link, "added", using)
    links = (
        f"(SELECT step, CASE step WHEN 1 THEN old{number} ELSE new{number} END AS pk,"  # noqa: S608
        f" CASE step WHEN 1 THEN old{number + 1} ELSE new{number + 1} END AS target"
        f" FROM {changed}, (SELECT 1 AS step UNION ALL SELECT 2) AS steps"
        f" WHERE {dialect.differs(link.source, f'old{number}', f'new{number}')}"
        f" OR {dialect.differs(link.target, f'old{number + 1}', f'new{number + 1}')}"
        " ORDER BY 1, 2, 3) AS links"
    )
    changes = f"CASE step WHEN 1 THEN {removed} ELSE {added} END"
    selected = _selected(link.audited, changes, using, links, named=False)
    return f"{selected}{_with_both_ends(link)} GROUP BY step, pk ORDER BY step"


def _links_change(link: Link, verb: str, using: str) -> str:
    """Return SQL for the change that several links of one object are, as their column ``target``."""
    dialect = dialect_of(connections[using])
    targets, none = dialect.array_of(dialect.value(link.target, "target")), dialect.literal("[]")
    added, removed = (targets, none) if verb == "added" else (none, targets)
    change = dialect.object_of([("added", added), ("removed", removed)])
    if link.field.name in link.audited.masked:
        change = dialect.literal(MASKED)
    return dialect.object_of([(link.field.name, change)])


def _with_both_ends(link: Link) -> str:
    """Return a condition that leaves out rows that are no links, as they lack an end."""
    return " WHERE pk IS NOT NULL AND target IS NOT NULL" if link.may_lack_an_end else ""


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
            f" WHERE known.model_label = %s AND known.object_id = {key}"
            " AND known.object_repr <> '' ORDER BY known.id DESC LIMIT 1), '')"
        )
    return (
        f"INSERT INTO {table} ({columns})"  # noqa: S608
        f" SELECT %s, %s, %s, {name}, %s, %s, %s, %s, {key}, {dialect.json(changes)}"
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
    label = audited.model._meta.label
    return (
        CREATED_AT.get_db_prep_save(timezone.now(), connection),
        action.value,
        label,
        label if name is None else name,
        ACTOR.get_db_prep_save(actor.pk, connection) if actor else None,
        actor.get_username() if actor else "",
        "fixture" if from_fixture.get() else current_source(),
        current_request_id(),
    )


def _change(audited: Audited, name: str, old: str, new: str, using: str) -> tuple[str, str]:
    """Return a change as a member of ``changes``."""
    dialect = dialect_of(connections[using])
    if name in audited.masked:
        return name, dialect.literal(MASKED)
    return name, dialect.object_of([("old", old), ("new", new)])


def _where(condition: str) -> str:
    return f" WHERE {condition}" if condition else ""


def _column(field: Any, connection: BaseDatabaseWrapper) -> str:
    return connection.ops.quote_name(field.column)


def _table(model: type[Model], connection: BaseDatabaseWrapper) -> str:
    return connection.ops.quote_name(model._meta.db_table)
