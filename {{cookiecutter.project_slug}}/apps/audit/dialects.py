"""How each database turns the values of its columns into JSON, as ``values.decode`` reads it.

Entries are written by triggers. What a column holds is what is recorded, whatever
Python takes it for.
"""

from collections.abc import Sequence
from itertools import batched
from typing import Any, Final

from django.conf import settings
from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DecimalField, Field, ForeignKey

# Keys that are the same text wherever they are written: what ``object_id`` can be made of.
KEYS: Final = ("IntegerField", "CharField", "UUIDField")

# Columns of which SQLite itself knows what they are in JSON.
JSON_TYPES: Final = (
    *("AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField"),
    *("SmallIntegerField", "PositiveIntegerField", "PositiveBigIntegerField"),
    *("PositiveSmallIntegerField", "DurationField", "CharField", "TextField", "SlugField"),
    *("FileField", "FilePathField", "GenericIPAddressField", "DateField", "TimeField"),
)

# JSON's null is recorded as the value of this key, for it is not the NULL of an empty column;
# so are objects that have such a key themselves.
JSON_NULL: Final = "json"

# PostgreSQL's functions take a hundred arguments.
MOST_MEMBERS: Final = 50

# Members of a JSON object: the name of each, and SQL for it.
type Members = Sequence[tuple[str, str]]


class Dialect:
    """What the two databases write in ways of their own; ``sql`` names a column or an alias."""

    is_not: str

    def value(self, field: Field, sql: str) -> str:
        """Return SQL for a value, as a member of JSON."""
        raise NotImplementedError

    def literal(self, json: str) -> str:
        """Return SQL for JSON that is known already, as a member of JSON."""
        raise NotImplementedError

    def array_of(self, sql: str) -> str:
        """Return the aggregate that makes a JSON array of members."""
        raise NotImplementedError

    def object_of(self, members: Members) -> str:
        """Return SQL for a JSON object of members, which can be a member itself."""
        raise NotImplementedError

    def some_of(self, members: Members, conditions: Sequence[str]) -> str:
        """Return SQL for a JSON object of those members for which a condition holds."""
        raise NotImplementedError

    def json(self, sql: str) -> str:
        """Return a JSON object as what the column ``changes`` holds."""
        return sql

    def key(self, field: Field, sql: str) -> str:
        """Return SQL for a key as the text that ``registry.object_key`` gives for it."""
        return f"CAST({sql} AS TEXT)"

    def differs(self, field: Field, one: str, other: str) -> str:
        """Return a condition that two values, as the column holds them, are not the same."""
        raise NotImplementedError


class SQLite(Dialect):
    """JSON is text, and never NULL."""

    is_not = "IS NOT"

    def value(self, field: Field, sql: str) -> str:
        field = pointed_to(field)
        match field.get_internal_type():
            case "BooleanField":
                return f"CASE {sql} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE 'null' END"
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
                digits = " || '-' || ".join(f"substr({sql}, {at}, {size})" for at, size in parts)
                return _text(digits)
            case "DecimalField" if isinstance(field, DecimalField):
                return _text(self._decimal(sql, field.decimal_places or 0))
            case "FloatField":
                return self._float(sql)
            case name if name in JSON_TYPES and is_djangos(field):
                return f"json_quote({sql})"
        return (
            f"CASE typeof({sql}) WHEN 'null' THEN 'null'"
            f" WHEN 'blob' THEN json_quote('\\x' || hex({sql}))"
            f" WHEN 'real' THEN {self._float(sql)} ELSE json_quote({sql}) END"
        )

    def literal(self, json: str) -> str:
        return f"'{json}'"

    def array_of(self, sql: str) -> str:
        return f"'[' || group_concat({sql}) || ']'"

    def object_of(self, members: Members) -> str:
        if not members:
            return "'{}'"
        # In brackets and with few parts, for SQLite limits how deep an expression may be.
        (first, sql), *others = members
        parts = [f"{_name(first, '{')} || {sql}"]
        parts += [f"{_name(name, ',')} || {sql}" for name, sql in others]
        return "(" + " || ".join(parts) + " || '}')"

    def some_of(self, members: Members, conditions: Sequence[str]) -> str:
        parts = (
            f"CASE WHEN {condition} THEN {_name(name, ',')} || {sql} ELSE '' END"
            for (name, sql), condition in zip(members, conditions, strict=True)
        )
        return "'{' || substr(" + " || ".join(parts) + ", 2) || '}'"

    def differs(self, field: Field, one: str, other: str) -> str:
        if field.get_internal_type() == "JSONField":
            return f"{self.value(field, one)} <> {self.value(field, other)}"
        if _has_other_equals(field):
            one = f"{one} COLLATE BINARY"
        return f"{one} IS NOT {other}"

    def _float(self, sql: str) -> str:
        # json_quote() would keep 15 digits, which are too few, and calls infinity what is no JSON.
        exact = f"printf('%!.17g', {sql})"
        return f"CASE WHEN abs({sql}) < 9e999 THEN {exact} ELSE json_quote(CAST({sql} AS TEXT)) END"

    def _decimal(self, number: str, places: int) -> str:
        rounded = f"printf('%.{places}f', {number})"
        zeros = f".{'0' * places}" if places else ""
        # What an expression, or a value that nobody has rounded, has left may have more places.
        return (
            f"CASE typeof({number}) WHEN 'integer' THEN {number} || '{zeros}' WHEN 'real' THEN"
            f" CASE WHEN CAST({rounded} AS NUMERIC) = {number} THEN {rounded}"
            f" ELSE printf('%.15g', {number}) END END"
        )


class PostgreSQL(Dialect):
    """JSON is of a type of its own, and NULL where a column is."""

    is_not = "IS DISTINCT FROM"

    def value(self, field: Field, sql: str) -> str:
        field = pointed_to(field)
        match field.get_internal_type():
            case "JSONField":
                wrapped = f"jsonb_build_object('{JSON_NULL}', {sql})"
                return (
                    f"CASE WHEN jsonb_typeof({sql}::jsonb) = 'null' OR {sql} -> '{JSON_NULL}'"
                    f" IS NOT NULL THEN {wrapped} ELSE {sql}::jsonb END"
                )
            case "DecimalField":
                return f"{sql}::text"
            case _ if _holds_decimals(field):
                return f"{sql}::text[]"
            case "BinaryField":
                return f"translate(encode({sql}, 'base64'), E'\\n', '')"
        return sql

    def literal(self, json: str) -> str:
        return f"'{json}'::json"

    def array_of(self, sql: str) -> str:
        return f"json_agg({sql})"

    def object_of(self, members: Members) -> str:
        objects = [
            "json_build_object(" + ", ".join(f"'{name}', {sql}" for name, sql in some) + ")"
            for some in [*batched(members, MOST_MEMBERS)] or [()]
        ]
        if len(objects) == 1:
            return objects[0]
        return "(" + " || ".join(f"{one}::jsonb" for one in objects) + ")"

    def some_of(self, members: Members, conditions: Sequence[str]) -> str:
        parts = [
            f"CASE WHEN {condition} THEN concat({_name(name)}, {sql}) END"
            for (name, sql), condition in zip(members, conditions, strict=True)
        ]
        joined = [f"concat_ws(',', {', '.join(some)})" for some in batched(parts, MOST_MEMBERS)]
        if len(joined) > 1:
            joined = ["concat_ws(',', " + ", ".join(f"nullif({one}, '')" for one in joined) + ")"]
        return "concat('{', " + joined[0] + ", '}')"

    def json(self, sql: str) -> str:
        return f"({sql})::jsonb"

    def differs(self, field: Field, one: str, other: str) -> str:
        if field.get_internal_type() == "JSONField":
            # As values of JSON, 1 and 1.0 are the same.
            one, other = f"{one}::text", f"{other}::text"
        elif _has_other_equals(field):
            one, other = f'{one}::text COLLATE "C"', f'{other}::text COLLATE "C"'
        return f"{one} IS DISTINCT FROM {other}"


DIALECTS: Final[dict[str, Dialect]] = {"sqlite": SQLite(), "postgresql": PostgreSQL()}


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """Return what a database speaks.

    Raises:
        NotSupportedError: when it is neither SQLite nor PostgreSQL.
    """
    try:
        return DIALECTS[connection.vendor]
    except KeyError:
        raise NotSupportedError(
            f"The audit trail cannot write to {connection.display_name}: it knows SQLite and"
            " PostgreSQL. Let DATABASE_URL name one of these, for example"
            " postgres://user:password@127.0.0.1:5432/name."
        ) from None


def pointed_to(field: Field) -> Field:
    """Follow a foreign key to the field whose values it holds."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    return field


def key_type(field: Field) -> str | None:
    """Return which of ``KEYS`` a key belongs to; None for another type."""
    name = pointed_to(field).get_internal_type()
    if name in ("TextField", "SlugField"):
        return "CharField"
    is_number = name.endswith(("IntegerField", "AutoField"))
    return "IntegerField" if is_number else name if name in KEYS else None


def _has_other_equals(field: Field) -> bool:
    """Whether a column may call values equal that are not the same, or has operators of its own."""
    field = pointed_to(field)
    while (base := getattr(field, "base_field", None)) is not None:
        field = base
    is_core = type(field).__module__.startswith("django.db.")
    return bool(getattr(field, "db_collation", None)) or not is_core


def is_json(field: Field) -> bool:
    """Whether the column of a field holds JSON."""
    return field.get_internal_type() == "JSONField"


def _holds_decimals(field: Any) -> bool:
    """Whether a field is one of arrays, perhaps of arrays, of decimals."""
    is_array = hasattr(field, "base_field") and not hasattr(field, "range_type")
    if not is_array:
        return False
    base = field.base_field
    return base.get_internal_type() == "DecimalField" or _holds_decimals(base)


def is_djangos(field: Field) -> bool:
    """Whether a field is one of Django's own classes, and so converts values as they do."""
    return type(field).__module__.startswith("django.")


def _name(name: str, before: str = "") -> str:
    """Return SQL for the text that begins a member of a JSON object."""
    return f"'{before}\"{name}\":'"


def _text(sql: str) -> str:
    """Return SQL for text that JSON need not escape, or null."""
    return f"coalesce('\"' || ({sql}) || '\"', 'null')"
