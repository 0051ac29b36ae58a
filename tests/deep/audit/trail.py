"""Reading the trail where the databases write it in different ways."""

from typing import Any

from django.db.models import Model

from ..trail import changes


def links(instance: Model, name: str) -> list[tuple[str, Any]]:
    """List each key that a field was given (+) or lost (-): SQLite has an entry for each."""
    found = [change[name] for change in changes(instance) if "added" in change.get(name, {})]
    signs = (("-", "removed"), ("+", "added"))
    return [(sign, key) for change in found for sign, verb in signs for key in change[verb]]
