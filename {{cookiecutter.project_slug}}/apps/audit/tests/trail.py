"""Reading the trail in tests."""

from typing import Any

from django.db.models import Model

from apps.audit.models import Entry


def actions(instance: Model) -> list[str]:
    """List the actions on an object, the oldest first."""
    return [entry.action for entry in Entry.objects.of(instance).reverse()]


def changes(instance: Model) -> list[dict[str, Any]]:
    """List the changes of an object, each field as ``(old, new)``, the oldest first."""

    def pair(change: dict[str, Any]) -> Any:
        return (change["old"], change["new"]) if "old" in change else change

    found = [entry.changes.items() for entry in Entry.objects.of(instance).reverse()]
    return [{name: pair(change) for name, change in items} for items in found]


def last_change(instance: Model) -> dict[str, Any]:
    """Return the latest changes of an object."""
    return changes(instance)[-1]
