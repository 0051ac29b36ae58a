"""Signals for bulk writes, for which Django sends none. ``bulk.py`` sends them."""

from typing import Final

from django.db.models.signals import ModelSignal

# Sent with ``instances`` and ``pks``, tuples in the same order, and ``using``.
bulk_created: Final = ModelSignal(use_caching=True)
# Sent with ``pks``, ``fields``, a frozenset of names, and ``using``.
bulk_updated: Final = ModelSignal(use_caching=True)
# Sent with ``pks`` and ``using`` after the deletion, but not for rows that a cascade deletes.
bulk_deleted: Final = ModelSignal(use_caching=True)
