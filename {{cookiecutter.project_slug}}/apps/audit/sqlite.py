"""The trail's triggers on SQLite: one for each kind of change of a row. JSON is text."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db.models import DecimalField, Field, Model

from .capture import WHO, Capture, Definition, Members, name_of
from .fields import JSON_NULL, has_other_equals, is_json, pointed_to
from .registry import Recorded


class SQLiteCapture(Capture):
    """See ``Capture``."""

    is_not, groups = "IS NOT", False
    live = """
        SELECT tables.name, columns.name FROM sqlite_master AS tables
        JOIN pragma_table_xinfo(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name IN (SELECT value FROM json_each(%s))
    """
    there = """
        SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND instr(name, %s) = 1
    """

    def creation(self, one: Definition) -> list[str]:
        name, table = self.quote(one.name), self.quote(one.table)
        when = f" WHEN {one.when}" if one.when else ""
        made = f"CREATE TRIGGER {name} {one.event} ON {table}{when} BEGIN {one.body}END"
        return [self.removal(one.name), made]

    def removal(self, name: str) -> str:
        return f"DROP TRIGGER IF EXISTS {self.quote(name)}"

    def as_found(self, one: Definition) -> list[Any]:
        return [one.table, self.creation(one)[1]]

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Definition]:
        table, label = model._meta.db_table, model._meta.label

        def definition(event: str, statements: list[str], when: str = "") -> Definition:
            timing = f"AFTER {event.upper() if event in ('insert', 'delete') else 'UPDATE'}"
            body = "".join(f"{statement}; " for statement in statements)
            return Definition(name_of(event, label), table, timing, body, when)

        for event, action, row in (("insert", "create", "NEW"), ("delete", "delete", "OLD")):
            # None for a join table that has no columns of a link while it is changed.
            if statements := self.whole(recorded, action, row):
                yield definition(event, statements)
        if recorded.audited:
            rekeyed, statements = self.rekeyed(recorded.audited)
            yield definition("rekey", statements, rekeyed)
            changed, statements = self.changed(recorded.audited)
            if statements:
                yield definition("update", statements, f"NOT ({rekeyed}) AND ({changed})")
        for number, link in enumerate(self.links(recorded)):
            moved, statements = self.moved(link)
            yield definition(f"move{number}", statements, moved)

    def who(self, column: str) -> str:
        return f"{WHO}('{column}')"

    def value(self, field: Field, sql: str) -> str:
        field = pointed_to(field)
        match field.get_internal_type():
            case "BooleanField":
                return f"CASE {sql} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE {_text(sql)} END"
            case "JSONField":
                wrapped = self.object_of([(JSON_NULL, f"json({sql})")])
                return (
                    f"CASE WHEN json_type({sql}) = 'null' OR json_type({sql}, '$.{JSON_NULL}')"
                    f" IS NOT NULL THEN {wrapped} ELSE coalesce(json({sql}), 'null') END"
                )
            case "DateTimeField":
                zone = "+00:00" if settings.USE_TZ else ""
                return _text(f"replace({sql}, ' ', 'T') || '{zone}'")
            case "UUIDField":
                parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
                return _text(" || '-' || ".join(f"substr({sql}, {at}, {n})" for at, n in parts))
            case "DecimalField" if isinstance(field, DecimalField):
                return _text(_decimal(sql, field.decimal_places or 0))
        # A column can hold a value of any type, whatever its own is.
        return (
            f"CASE typeof({sql}) WHEN 'blob' THEN json_quote('\\x' || hex({sql}))"
            f" WHEN 'real' THEN {_float(sql)} ELSE json_quote({sql}) END"
        )

    def differs(self, field: Field, one: str, other: str) -> str:
        if is_json(field):
            return f"{self.value(field, one)} <> {self.value(field, other)}"
        return f"{one}{' COLLATE BINARY' if has_other_equals(field) else ''} IS NOT {other}"

    def literal(self, json: str) -> str:
        return f"'{json}'"

    def array_of(self, sql: str) -> str:
        return f"'[' || {sql} || ']'"

    def object_of(self, members: Members) -> str:
        # In brackets and with few parts, for SQLite limits how deep an expression may be.
        parts = (f"'\"{name}\":' || {sql}" for name, sql in members)
        return "('{' || " + (" || ',' || ".join(parts) or "''") + " || '}')"

    def some_of(self, members: Members, conditions: Sequence[str]) -> str:
        parts = (
            f"CASE WHEN {condition} THEN ',\"{name}\":' || {sql} ELSE '' END"
            for (name, sql), condition in zip(members, conditions, strict=True)
        )
        return "'{' || substr(" + " || ".join(parts) + ", 2) || '}'"


def _text(sql: str) -> str:
    return f"json_quote(CAST({sql} AS TEXT))"


def _float(sql: str) -> str:
    # json_quote() would keep 15 digits, which are too few, and calls infinity what is no JSON.
    exact = f"printf('%!.17g', {sql})"
    return f"CASE WHEN abs({sql}) < 9e999 THEN {exact} ELSE json_quote(CAST({sql} AS TEXT)) END"


def _decimal(sql: str, places: int) -> str:
    rounded = f"printf('%.{places}f', {sql})"
    zeros = f".{'0' * places}" if places else ""
    # What an expression, or a value that nobody has rounded, has left may have more places.
    return (
        f"CASE typeof({sql}) WHEN 'integer' THEN {sql} || '{zeros}' WHEN 'real' THEN"
        f" CASE WHEN CAST({rounded} AS NUMERIC) = {sql} THEN {rounded}"
        f" ELSE printf('%.15g', {sql}) END ELSE {sql} END"
    )
