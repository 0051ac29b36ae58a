"""Python values of what the trail has recorded, as a database has written it in JSON."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import DecimalField, Field

from .fields import JSON_NULL, is_json, pointed_to

# A range as PostgreSQL writes it, with quotation marks around a bound that needs them.
BOUND: Final = r'("(?:[^"\\]|\\.|"")*"|[^",\\\[\]()]*)'
RANGE: Final = re.compile(rf"([\[(]){BOUND},{BOUND}([\])])", re.DOTALL)


class UnreadableError(ValueError):
    """Raised when a field cannot read what its column has held."""


def decode(field: Field, data: Any, *, using: str = DEFAULT_DB_ALIAS) -> Any:
    """Return the Python value of an old or new value: what a query gives for the field.

    So what the column has held goes through the field's own ``from_db_value``, where it has
    one. JSON's null is None, as in a query; ``is_json_null`` tells it from an empty column.

    Args:
        field: the field of the model.
        data: what ``changes`` holds, in ``"old"`` or ``"new"``.
        using: the alias of the database, whose connection ``from_db_value`` gets.

    Raises:
        ValidationError: when the field has changed its type since.
        UnreadableError: when ``from_db_value`` fails, or when nobody knows what to give to it,
            since the type of the column is none of Django's own.
    """
    field = pointed_to(field)
    value = _given(field, unwrapped(field, data))
    if is_json_null(field, data):
        value = "null"
    convert: Any = getattr(field, "from_db_value", None)
    if convert is None:
        return value
    try:
        return convert(value, field.cached_col, connections[using])
    except Exception as error:
        raise UnreadableError(f"{field} cannot read {data!r}: {error!r}") from error


def is_json_null(field: Field, data: Any) -> bool:
    """Whether an old or new value is JSON's null: the column was not empty then."""
    return data is not None and unwrapped(field, data) is None


def unwrapped(field: Field, data: Any) -> Any:
    """Return the JSON that a ``JSONField`` has held; other data stays what it is."""
    if is_json(field) and isinstance(data, dict) and data.keys() == {JSON_NULL}:
        return data[JSON_NULL]
    return data


def same(one: Any, other: Any) -> bool:
    """Compare JSON data; unlike ``==``, tell True from 1 and False from 0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _given(field: Field, data: Any) -> Any:
    """Return what a database has given for data: the value before a field's own conversion.

    SQLite has no types for durations and bytes, and PostgreSQL writes bytes in arrays
    otherwise than alone: these are microseconds, and ``\\x`` with hexadecimal digits.
    """
    if data is None:
        return None
    kind, base = field.get_internal_type(), getattr(field, "base_field", None)
    if base is not None:
        return _given_range(field, data) if hasattr(field, "range_type") else _given_all(base, data)
    if is_json(field):
        return json.dumps(data)
    if kind == "DurationField" and isinstance(data, int):
        return timedelta(microseconds=data)
    if kind == "BinaryField" and isinstance(data, str) and data.startswith("\\x"):
        return bytes.fromhex(data[2:])
    plain = _plain(kind)
    if plain is None and hasattr(field, "from_db_value"):
        raise UnreadableError(f"{field} has a column of a type that only its database knows.")
    value = (plain or field).to_python(data)
    if isinstance(value, Decimal) and isinstance(field, DecimalField):
        places = field.decimal_places
        return (
            value
            if places is None
            else value.quantize(Decimal(1).scaleb(-places), context=field.context)
        )
    return bytes(value) if isinstance(value, memoryview) else value


def _given_all(base: Field, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise ValidationError(f"{data!r} is no array.")
    return [_given(base, item) for item in data]


def _given_range(field: Any, data: Any) -> Any:
    if data == "empty":
        return field.range_type(empty=True)
    found = RANGE.fullmatch(str(data))
    if found is None:
        raise ValidationError(f"{data!r} is no range.")
    start, lower, upper, end = found.groups()
    bounds = [
        _given(field.base_field, re.sub(r'["\\](.)', r"\1", bound[1:-1], flags=re.DOTALL))
        if bound.startswith('"')
        else _given(field.base_field, bound or None)
        for bound in (lower, upper)
    ]
    return field.range_type(*bounds, start + end)


@cache
def _plain(kind: str) -> Field | None:
    """Return a field of Django's that has columns of a type, and converts nothing of its own."""
    found: Any = getattr(models, kind, None)
    return found() if isinstance(found, type) and issubclass(found, Field) else None
