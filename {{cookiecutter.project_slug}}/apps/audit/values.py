"""Values of model fields as JSON, typed by their field, and back."""

import json
import math
from base64 import b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.db.models import BinaryField, DecimalField, DurationField, Field, ForeignKey, JSONField
from django.utils import timezone
from django.utils.duration import duration_iso_string


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
    """Return the Python value of JSON data that ``encode``, or a database, has written.

    SQLite has no types for durations and decimals and no base64: it writes
    microseconds, as many places as there are, and ``\\x`` with hexadecimal digits.

    Raises:
        ValidationError: when the field has changed its type since.
    """
    if data is None:
        return None
    if isinstance(field, ForeignKey):
        return decode(field.target_field, data)
    if isinstance(field, JSONField):
        return json.loads(json.dumps(data), cls=field.decoder)
    if isinstance(field, DurationField) and isinstance(data, int):
        return timedelta(microseconds=data)
    if isinstance(field, BinaryField) and isinstance(data, str) and data.startswith("\\x"):
        return bytes.fromhex(data[2:])
    value = field.to_python(data)
    if isinstance(value, Decimal) and isinstance(field, DecimalField):
        places = field.decimal_places
        return (
            value
            if places is None
            else value.quantize(Decimal(1).scaleb(-places), context=field.context)
        )
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
