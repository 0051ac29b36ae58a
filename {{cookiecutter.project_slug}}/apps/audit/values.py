"""Values of model fields as JSON, typed by their field, and back."""

import json
import math
from base64 import b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import BinaryField, DecimalField, Field, FileField, ForeignKey, JSONField
from django.utils import timezone
from django.utils.duration import duration_iso_string

SCALARS: Final = (str, int, float, Decimal, date, time, timedelta, UUID)

# Beyond this SQLite keeps decimals as floating-point numbers.
EXACT_DIGITS: Final = 15


def encode(field: Field, value: Any) -> Any:
    """Return a field's value as JSON data that ``decode`` can read; None stays None.

    Equal values give equal data: moments are written in UTC, decimals with all
    the places of their field, foreign keys as the key they hold.
    """
    if value is None:
        return None
    if isinstance(field, ForeignKey):
        return encode(field.target_field, value)
    if isinstance(field, JSONField):
        return json.loads(json.dumps(value, cls=field.encoder))
    match value:
        case bool() | int():
            return value
        case str():
            return str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            places = getattr(field, "decimal_places", None)
            return f"{value:f}" if places is None else f"{value:.{places}f}"
        case datetime():
            return (value.astimezone(UTC) if timezone.is_aware(value) else value).isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return duration_iso_string(value)
        case UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return b64encode(value).decode("ascii")
    # What Django's own serialisers ask of every field.
    return field.value_to_string(SimpleNamespace(**{field.attname: value}))  # type: ignore[arg-type]


def decode(field: Field, data: Any) -> Any:
    """Return the Python value that ``encode`` has written.

    Raises:
        ValidationError: when the field has changed its type since.
    """
    if isinstance(field, JSONField):
        return json.loads(json.dumps(data), cls=field.decoder)
    value = field.to_python(data)
    return bytes(value) if isinstance(value, memoryview) else value


def same(one: Any, other: Any) -> bool:
    """Compare JSON data; unlike ``==``, tell True from 1 and False from 0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def certain(field: Field, value: Any) -> bool:
    """Whether the database is sure to give back the value that was saved.

    It is not for an expression, a value of another type than the field's own,
    a decimal to be rounded, or a field from outside Django: then the value has
    to be read again.
    """
    if hasattr(value, "resolve_expression") or not type(field).__module__.startswith("django."):
        return False
    if isinstance(field, ForeignKey):
        return certain(field.target_field, value)
    if value is None or isinstance(field, (JSONField, FileField, BinaryField)):
        return True
    read = field.to_python(value)
    if not isinstance(read, SCALARS) or not isinstance(value, type(read)) or read != value:
        return False
    if isinstance(read, datetime):
        return timezone.is_aware(read) == settings.USE_TZ
    if isinstance(read, Decimal):
        _, digits, exponent = read.as_tuple()
        places = field.decimal_places if isinstance(field, DecimalField) else None
        return (
            isinstance(exponent, int)
            and places is not None
            and -exponent <= places
            and len(digits) + max(0, places + exponent) <= EXACT_DIGITS
        )
    return True
