"""Facts about a field, with which the trail records and reads the values of its column."""

from typing import Any, Final

from django.db.models import Field, ForeignKey

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


def is_djangos(field: Field, package: str = "django.") -> bool:
    """Whether a field is one of Django's own classes, and so converts values as they do."""
    return type(field).__module__.startswith(package)


def has_other_equals(field: Any) -> bool:
    """Whether the column's comparison may treat different values as equal."""
    field = pointed_to(field)
    while (base := getattr(field, "base_field", None)) is not None:
        field = base
    return bool(getattr(field, "db_collation", None)) or not is_djangos(field, "django.db.")
