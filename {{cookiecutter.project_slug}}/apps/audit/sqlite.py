"""The trail's triggers on SQLite: one for each kind of change of a row."""

from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.db.models import DecimalField, Field, Model

from .capture import PREFIX, Capture, Trigger, name_of
from .values import JSON_NULL, is_json, pointed_to

# The Python function that tells the triggers who acts.
WHO: Final = f"{PREFIX}who"


class SQLiteCapture(Capture):
    find_columns = """
        SELECT '', tables.name, columns.name, lower(columns.type) FROM sqlite_master AS tables
        JOIN pragma_table_xinfo(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name IN (SELECT value FROM json_each(%s))
    """
    find_triggers = """
        SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND instr(name, %s) = 1
    """
    who = {
        column: f"{WHO}('{column}')"
        for column in ("created_at", "actor_id", "actor_name", "source", "request_id")
    }
    now = who["created_at"]

    def of(self, model: type[Model]) -> Iterator[Trigger]:
        table = model._meta.db_table
        for event, action, row in (("INSERT", "create", "NEW"), ("DELETE", "delete", "OLD")):
            # None for a join table that has no columns of a link while it is changed.
            if body := self.whole(model, action, row):
                yield self._trigger(event, table, f"AFTER {event}", "TRUE", body)
        for name, condition, body in self.cases(model):
            yield self._trigger(name, table, "AFTER UPDATE", condition, body)

    def refusal(self, table: str, event: str, condition: str, text: str) -> Trigger:
        body = f"SELECT RAISE(ABORT, '{text}'); "
        return self._trigger(f"keep {event}", table, f"BEFORE {event}", condition, body)

    def removal(self, name: str) -> str:
        return f"DROP TRIGGER IF EXISTS {self.quote(name)}"

    def value(self, field: Field, sql: str) -> str:
        is_own, field = self.is_own(field), pointed_to(field)
        # json_quote() keeps too few digits, and its text for infinity is no JSON. Far from 1, 17
        # digits of printf() are too few as well.
        real = f"CASE WHEN abs({sql}) < 9e999 THEN printf('%!.18g', {sql}) ELSE {_text(sql)} END"
        # A column can hold a value of any type, whatever its own is.
        held = (
            f"CASE typeof({sql}) WHEN 'blob' THEN json_quote('\\x' || hex({sql}))"
            f" WHEN 'real' THEN {real} ELSE json_quote({sql}) END"
        )
        match field.get_internal_type() if is_own else "":
            case "BooleanField":
                return f"CASE {sql} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE {_text(sql)} END"
            case "JSONField":
                member = f"json_type({sql}, '$.{JSON_NULL}')"
                text = self.json(f"json_type({sql})", member, f"json({sql})")
                # A column of texts has the same type.
                return f"CASE WHEN json_valid({sql}) THEN {text} ELSE {held} END"
            case "DateTimeField":
                zone = "+00:00" if settings.USE_TZ else ""
                return _text(f"replace({sql}, ' ', 'T') || '{zone}'")
            case "UUIDField":
                parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
                return _text(" || '-' || ".join(f"substr({sql}, {at}, {n})" for at, n in parts))
            case "DecimalField" if isinstance(field, DecimalField):
                return _text(_decimal(sql, field.decimal_places or 0))
        return held

    def comparable(self, field: Field, sql: str) -> str:
        # A column's collation may treat different texts as equal.
        return self.value(field, sql) if is_json(field) else f"{sql} COLLATE BINARY"

    def _trigger(self, name: str, table: str, event: str, condition: str, body: str) -> Trigger:
        name = name_of(name, table)
        sql = (
            f"CREATE TRIGGER {self.quote(name)} {event} ON {self.quote(table)} WHEN {condition}"
            f" BEGIN {body}END"
        )
        return Trigger(name, table, [self.removal(name), sql], [table, sql])


def _text(sql: str) -> str:
    return f"json_quote(CAST({sql} AS TEXT))"


def _decimal(sql: str, places: int) -> str:
    rounded = f"printf('%.{places}f', {sql})"
    zeros = f".{'0' * places}" if places else ""
    # The column may hold a value that was not rounded, for example one of an expression.
    return (
        f"CASE typeof({sql}) WHEN 'integer' THEN {sql} || '{zeros}' WHEN 'real' THEN"
        f" CASE WHEN CAST({rounded} AS NUMERIC) = {sql} THEN {rounded}"
        f" ELSE printf('%.15g', {sql}) END ELSE {sql} END"
    )
