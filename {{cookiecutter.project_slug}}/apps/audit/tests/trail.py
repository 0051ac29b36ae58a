"""Reading the trail in tests."""

from typing import Any

from django.db.models import Model

from apps.audit.models import Entry


def actions(instance: Model) -> list[str]:
    """List what was done to an object, the first deed first."""
    return [entry.action for entry in Entry.objects.of(instance).reverse()]


def changes(instance: Model) -> list[dict[str, Any]]:
    """List the changes of an object, each field as ``(old, new)``, the first deed first."""

    def pair(change: dict[str, Any]) -> Any:
        return (change["old"], change["new"]) if "old" in change else change

    found = [entry.changes.items() for entry in Entry.objects.of(instance).reverse()]
    return [{name: pair(change) for name, change in items} for items in found]


def last_change(instance: Model) -> dict[str, Any]:
    """Return the latest changes of an object."""
    return changes(instance)[-1]


def links(instance: Model, name: str) -> list[tuple[str, Any]]:
    """List each key that a field was given (+) or lost (-): SQLite has an entry for each."""
    found = [change[name] for change in changes(instance) if "added" in change.get(name, {})]
    signs = (("-", "removed"), ("+", "added"))
    return [(sign, key) for change in found for sign, verb in signs for key in change[verb]]
