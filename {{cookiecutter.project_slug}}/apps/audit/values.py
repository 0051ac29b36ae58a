"""Facts about a field, and the values of its column, which a database has recorded as JSON."""

import json
from base64 import b64decode
from typing import Any, Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Field, ForeignKey, JSONNull

# JSON's null is not the NULL of an empty column, so it is recorded as the value of this key.
# Objects that have such a key themselves are wrapped in the same way.
JSON_NULL: Final = "json"
# It replaces values that are not recorded.
MASKED: Final = '{"masked":true}'
# The name of a person who was forgotten. ``changes`` also has it as a key: no field has this name.
FORGOTTEN: Final = "(forgotten)"
# How databases write the mark of a forgotten value.
MARKS: Final = {"postgresql": '{"forgotten": true}', "sqlite": '{"forgotten":true}'}


def pointed_to(field: Any) -> Any:
    """Follow a foreign key to the field whose values it holds."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    return field


def key_type(field: Field) -> str | None:
    """Return the type of a key: IntegerField, CharField or UUIDField; None for another type."""
    name: str = pointed_to(field).get_internal_type()
    if name in ("CharField", "TextField", "SlugField"):
        return "CharField"
    if name.endswith(("IntegerField", "AutoField")):
        return "IntegerField"
    return name if name == "UUIDField" else None


def is_json(field: Field) -> bool:
    """Whether the column of a field holds JSON."""
    return field.get_internal_type() == "JSONField"


def is_djangos(field: Field) -> bool:
    """Whether a field is one of Django's own classes, and so converts values as they do."""
    return type(field).__module__.startswith("django.")


class UnreadableError(ValueError):
    """Raised when a field cannot read what its column has held."""


def decode(field: Field, data: Any, *, using: str = DEFAULT_DB_ALIAS) -> Any:
    """Return what a query gives for the field; JSON's null is ``JSONNull()``.

    Args:
        field: the field of the model.
        data: what ``changes`` holds, in ``"old"`` or ``"new"``.
        using: the alias of the database that has written it.

    Raises:
        UnreadableError: when ``from_db_value`` fails, or the field has changed its type since.
    """
    field, connection = pointed_to(field), connections[using]
    if data is not None and unwrapped(field, data) is None:
        return JSONNull()
    column = field.cached_col
    try:
        value = None if data is None else _read(field, unwrapped(field, data), using)
        for convert in (
            *connection.ops.get_db_converters(column),
            *column.get_db_converters(connection),
        ):
            value = convert(value, column, connection)
        if data is not None:
            # A backend returns a value that it cannot convert unchanged, or returns None.
            value = field.to_python(value) if is_djangos(field) else value
            if value is None:
                raise ValueError("no such value")
    except Exception as error:
        raise UnreadableError(f"{field} cannot read {data!r}: {error!r}") from error
    return bytes(value) if isinstance(value, memoryview) else value


def unwrapped(field: Field, data: Any) -> Any:
    """Return the JSON that a ``JSONField`` has held; other data stays what it is."""
    if is_json(field) and isinstance(data, dict) and data.keys() == {JSON_NULL}:
        return data[JSON_NULL]
    return data


def _read(field: Any, data: Any, using: str) -> Any:
    """Return what the driver of a database gives for data, before any conversion."""
    connection, kind = connections[using], key_type(field)
    if is_json(field):
        return json.dumps(data)
    if field.get_internal_type() == "BinaryField":
        return bytes.fromhex(data[2:]) if data.startswith("\\x") else b64decode(data)
    if kind == "IntegerField" and isinstance(data, str):
        return int(data)
    if connection.vendor == "sqlite" or kind in ("IntegerField", "CharField"):
        return data
    if kind == "UUIDField":
        return UUID(data)
    # Only PostgreSQL knows how arrays, ranges and types from elsewhere are written.
    quote = connection.ops.quote_name
    table, column = quote(field.model._meta.db_table), quote(field.column)
    with transaction.atomic(using), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (jsonb_populate_record(NULL::{table}, %s::jsonb)).{column}",
            [json.dumps({field.column: data})],
        )
        return cursor.fetchone()[0]
