"""Names of senders, for the command, the pages and the documents."""

from typing import Any

from django.apps import AppConfig
from django.db.models import Model

from .live import UNKNOWN


def sender_label(sender: Any) -> str:
    """Name a sender: ``"accounts.User"`` for a model, ``"any sender"`` for None."""
    if sender is None:
        return "any sender"
    if sender is UNKNOWN:
        return "another sender"
    if isinstance(sender, type) and issubclass(sender, Model):
        return sender._meta.label
    if isinstance(sender, AppConfig):
        return f"app {sender.label}"
    # Not its repr, which may contain an address in memory.
    name: str = getattr(sender, "__qualname__", "") or f"an instance of {type(sender).__name__}"
    return name
