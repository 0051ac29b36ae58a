"""The few places of Django's ORM through which every write goes, each made to keep the trail.

Signals tell of saves and deletions of single objects. Of ``update()``, of
``bulk_create()`` and ``bulk_update()``, of what a deletion sets to NULL and of
the links that it takes along they tell nothing, and what they do tell is what an
instance holds, not what the table held. So the trail listens one level below,
where statements are made: an INSERT, an UPDATE and a DELETE look the same there
whoever asked for them, through whatever manager.

Nothing here is done to models or their managers, so migrations see no difference
and any manager will do. What it builds on is private to Django; a test names the
version that it has been read in.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.core.serializers.base import DeserializedObject
from django.db import NotSupportedError, connections, transaction
from django.db.models import Model, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.deletion import Collector
from django.db.models.sql import DeleteQuery
from django.db.models.sql.compiler import SQLInsertCompiler, SQLUpdateCompiler
from django.db.models.sql.where import WhereNode

from . import rows
from .dialects import SQLITE, dialect_of
from .registry import Change, Recorded, change_of, recorded_of

type Method = Callable[..., Any]

# What is being saved or deleted further out, from which statements on single rows take their name.
_saved: Final = ContextVar[Model | None]("saved", default=None)
_deleted: Final = ContextVar[Collector | None]("deleted", default=None)

# On a queryset: the keys that the batches of one bulk_create() have inserted so far.
PENDING: Final = "_audit_pending"
# On the compiler of an UPDATE: that it has been recorded.
DONE: Final = "_audit_done"


def install() -> None:
    """Make the ORM keep the trail; a second call does nothing."""
    for owner, name, wrapping in (
        (QuerySet, "_insert", inserting),
        (QuerySet, "_batched_insert", inserting_in_batches),
        (SQLInsertCompiler, "as_sql", linking),
        (SQLUpdateCompiler, "execute_sql", updating),
        (SQLUpdateCompiler, "execute_returning_sql", updating),
        (DeleteQuery, "delete_batch", deleting_by_key),
        (QuerySet, "_raw_delete", deleting),
        (Model, "_do_update", saving),
        (Collector, "delete", collecting),
        (DeserializedObject, "save", loading),
    ):
        method = getattr(owner, name)
        if not hasattr(method, "keeps_the_trail"):
            wrapped = wrapping(method)
            wrapped.keeps_the_trail = True  # type: ignore[attr-defined]
            setattr(owner, name, wrapped)


def inserting(method: Method) -> Method:
    """Record the rows of an INSERT, right after it."""

    @wraps(method)
    def _insert(
        self: Any,
        objs: Sequence[Any],
        fields: Any,
        returning_fields: Any = None,
        raw: bool = False,
        using: str | None = None,
        on_conflict: OnConflict | None = None,
        **options: Any,
    ) -> Any:
        arguments = {"raw": raw, "on_conflict": on_conflict, **options}
        recorded = recorded_of(self.model)
        if recorded is None:
            return method(self, objs, fields, returning_fields, using=using, **arguments)
        _refuse_overwriting(self.model, on_conflict)
        self._for_write = True
        using = using or self.db
        if _are_recorded_as_they_are_written(recorded, using):
            return method(self, objs, fields, returning_fields, using=using, **arguments)
        pk = self.model._meta.pk
        ignoring = on_conflict == OnConflict.IGNORE
        # Of conflicts that are ignored, the keys that come back are those of what was inserted.
        returned = [pk] if ignoring else returning_fields or []
        with transaction.atomic(using=using, savepoint=False):
            results = method(self, objs, fields, returned, using=using, **arguments)
            if not ignoring and results:
                for obj, values in zip(objs, results, strict=True):
                    # Django does so as well, but only after the name of the object is needed.
                    obj._assign_returned_values(values, returned)
            inserted = [row[0] for row in results] if ignoring else None
            keys = [getattr(obj, pk.attname) for obj in objs] if inserted is None else inserted
            pending = vars(self).get(PENDING)
            if pending is not None:
                pending.extend(keys)
            elif keys:
                name = rows.name_of(objs[0], using) if len(objs) == 1 else ""
                selected = rows.with_keys(self.model, keys, using)
                rows.record_created(recorded, selected, using, name)
        return [] if ignoring else results

    return _insert


def inserting_in_batches(method: Method) -> Method:
    """Record the rows of all INSERTs of a ``bulk_create()`` at once."""

    @wraps(method)
    def _batched_insert(self: Any, objs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        recorded = recorded_of(self.model)
        if recorded is None:
            return method(self, objs, *args, **kwargs)
        _refuse_overwriting(self.model, kwargs.get("on_conflict"))
        if _are_recorded_as_they_are_written(recorded, self.db):
            return method(self, objs, *args, **kwargs)
        keys: list[Any] = []
        vars(self)[PENDING] = keys
        try:
            with transaction.atomic(using=self.db, savepoint=False):
                results = method(self, objs, *args, **kwargs)
                if keys:
                    known = recorded.audited and len(objs) == 1
                    name = rows.name_of(objs[0], self.db) if known else ""
                    selected = rows.with_keys(self.model, keys, self.db)
                    rows.record_created(recorded, selected, self.db, name)
        finally:
            del vars(self)[PENDING]
        return results

    return _batched_insert


def linking(method: Method) -> Method:
    """Let an INSERT of links record them. Of other rows it cannot: their names are made of them."""

    @wraps(method)
    def as_sql(self: Any) -> list[rows.Statement]:
        recorded, using = recorded_of(self.query.model), self.connection.alias
        if recorded is None or not _are_recorded_as_they_are_written(recorded, using):
            statements: list[rows.Statement] = method(self)
            return statements
        returned, self.returning_fields = self.returning_fields, None
        statements = method(self)
        self.returning_fields = returned
        return [rows.linking(recorded, one, returned or (), using) for one in statements]

    return as_sql


def updating(method: Method) -> Method:
    """Record the rows of an UPDATE: in it, else before it where its values are known, or around it."""

    @wraps(method)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorded = None if DONE in vars(self) else recorded_of(self.query.model)
        if recorded is None:
            return method(self, *args, **kwargs)
        if recorded.audited:
            _refuse_new_key(self)
        names = tuple(field.name for field, _, _ in self.query.values)
        change = change_of(self.query.model, names)
        condition = _condition_of(self) if change else None
        if change is None or condition is None:
            return method(self, *args, **kwargs)
        if dialect_of(self.connection).records_as_it_writes:
            _record_as_it_writes(self, change, condition)
            return method(self, *args, **kwargs)
        with transaction.atomic(using=self.using, savepoint=False):
            before = _record_or_remember(self, change, condition)
            result = method(self, *args, **kwargs)
            if before:
                rows.record_remembered(change, before, self.using, _name(self.using))
        return result

    return execute


def deleting_by_key(method: Method) -> Method:
    """Record rows that a deletion has collected."""

    @wraps(method)
    def delete_batch(self: Any, pk_list: Sequence[Any], using: str) -> Any:
        recorded = recorded_of(self.model)
        if recorded is None or not pk_list:
            return method(self, pk_list, using)
        collector = _deleted.get()
        collected = collector.data.get(self.model, ()) if collector else ()
        name = None
        if len(collected) == 1:
            (one,) = collected
            # Django loads no more of what goes along than it needs; the trail knows the name.
            name = None if one.get_deferred_fields() else rows.name_of(one, using)
        selected = rows.with_keys(self.model, pk_list, using)
        if dialect_of(connections[using]).records_as_it_writes:
            table = connections[using].ops.quote_name(self.model._meta.db_table)
            delete = f"DELETE FROM {table} WHERE {selected[0]}", selected[1]  # noqa: S608
            return _delete(rows.deleting(recorded, delete, using, name), using)
        with transaction.atomic(using=using, savepoint=False):
            rows.record_deleted(recorded, self.model, selected, using, name)
            return method(self, pk_list, using)

    return delete_batch


def deleting(method: Method) -> Method:
    """Record rows that a deletion has not looked at."""

    @wraps(method)
    def _raw_delete(self: Any, using: str) -> Any:
        recorded = recorded_of(self.model)
        if recorded is None:
            return method(self, using)
        query = self.query.clone()
        query.__class__ = DeleteQuery
        try:
            delete = query.get_compiler(using).as_sql()
        except EmptyResultSet:
            return method(self, using)
        if dialect_of(connections[using]).records_as_it_writes:
            return _delete(rows.deleting(recorded, delete, using, None), using)
        sql, params = delete
        where = sql.partition(" WHERE ")[2]
        with transaction.atomic(using=using, savepoint=False):
            found = rows.record_deleted(recorded, self.model, (where, params), using, None)
            return method(self, using) if found else 0

    return _raw_delete


def saving(method: Method) -> Method:
    """Tell the UPDATE of a save what its object is called."""

    @wraps(method)
    def _do_update(self: Model, *args: Any, **kwargs: Any) -> Any:
        token = _saved.set(self)
        try:
            return method(self, *args, **kwargs)
        finally:
            _saved.reset(token)

    return _do_update


def collecting(method: Method) -> Method:
    """Tell the DELETEs of a deletion what its objects are called."""

    @wraps(method)
    def delete(self: Collector) -> Any:
        token = _deleted.set(self)
        try:
            return method(self)
        finally:
            _deleted.reset(token)

    return delete


def loading(method: Method) -> Method:
    """Mark what a fixture writes, links included."""

    @wraps(method)
    def save(self: DeserializedObject, *args: Any, **kwargs: Any) -> Any:
        token = rows.from_fixture.set(True)
        try:
            return method(self, *args, **kwargs)
        finally:
            rows.from_fixture.reset(token)

    return save


def _are_recorded_as_they_are_written(recorded: Recorded, using: str) -> bool:
    """Whether new rows are links and nothing else, and their INSERT records them."""
    return recorded.audited is None and dialect_of(connections[using]).records_as_it_writes


def _record_as_it_writes(compiler: Any, change: Change, condition: rows.Condition) -> None:
    """Let an UPDATE be a statement that records what it changes."""
    update_sql = compiler.as_sql

    def as_sql() -> rows.Statement:
        # The rows are found by the condition once, to be locked: the UPDATE takes just those.
        compiler.query.where = WhereNode()
        returned, compiler.returning_fields = compiler.returning_fields, None
        update = update_sql()
        compiler.returning_fields = returned
        return rows.updating(
            change, update, condition, returned or (), compiler.using, _name(compiler.using)
        )

    compiler.as_sql = as_sql


def _record_or_remember(
    compiler: Any, change: Change, condition: rows.Condition
) -> list[tuple[Any, ...]] | None:
    """Record the rows of an UPDATE, or return what they hold, to be recorded afterwards."""
    assignments = None if change.links else _assignments(compiler, change)
    if assignments is None:
        return rows.remember(change, condition, compiler.using)
    rows.record_assigned(change, *assignments, condition, compiler.using, _name(compiler.using))
    return None


def _condition_of(compiler: Any) -> rows.Condition | None:
    """Return which rows an UPDATE will change; None when that is none at all."""
    compiler.pre_sql_setup()
    # The statement must find the rows that are recorded, and not look for them once more.
    compiler.pre_sql_setup = lambda: None
    vars(compiler)[DONE] = True
    try:
        where, params = compiler.compile(compiler.query.where)
    except FullResultSet:
        return "", ()
    except EmptyResultSet:
        return None
    return where, tuple(params)


def _delete(statement: rows.Statement, using: str) -> int:
    """Run a DELETE that returns its rows; return how many."""
    with connections[using].cursor() as cursor:
        cursor.execute(*statement)
        deleted: int = cursor.rowcount
    return deleted


def _name(using: str) -> str:
    saved = _saved.get()
    return rows.name_of(saved, using) if saved is not None else ""


def _assignments(compiler: Any, change: Change) -> tuple[dict[str, str], list[Any]] | None:
    """Return what an UPDATE assigns, as SQL for each name of a field, and its parameters.

    None when only the database knows what that will be.
    """
    connection = compiler.connection
    assigned: dict[str, str] = {}
    params: list[Any] = []
    for field, _, value in compiler.query.values:
        if field not in change.fields:
            continue
        if hasattr(value, "resolve_expression"):
            return None
        if hasattr(value, "prepare_database_save"):
            value = value.prepare_database_save(field)
        value = field.get_db_prep_save(value, connection=connection)
        placeholder = getattr(field, "get_placeholder_sql", None)
        if hasattr(value, "as_sql") or not SQLITE.foresees(field, value):
            return None
        if placeholder is None:
            assigned[field.name] = "%s"
            params.append(value)
        else:
            assigned[field.name], made = placeholder(value, compiler, connection)
            params.extend(made)
    return assigned, params


def _refuse_overwriting(model: type[Model], on_conflict: OnConflict | None) -> None:
    if on_conflict == OnConflict.UPDATE:
        raise NotSupportedError(
            f"bulk_create(update_conflicts=True) is refused for {model._meta.label}, which the"
            " audit trail records: no database says what such a statement has overwritten."
            " Use update_or_create(), or bulk_update() and bulk_create()."
        )


def _refuse_new_key(compiler: Any) -> None:
    if any(field.primary_key for field, _, _ in compiler.query.values):
        raise NotSupportedError(
            f"update() of the key of {compiler.query.model._meta.label} is refused: on the audit"
            " trail it would be another object all at once. Create a new one and delete the old."
        )
