"""The signals of the kit: bulk writes, of which Django tells nobody. Sent in ``bulk.py``."""

from typing import Final

from django.db.models.signals import ModelSignal

# Sent with ``instances`` and ``pks``, as tuples in one order, and ``using``.
bulk_created: Final = ModelSignal(use_caching=True)
# Sent with ``pks``, with ``fields``, the frozenset of their names, and ``using``.
bulk_updated: Final = ModelSignal(use_caching=True)
# Sent with ``pks`` and ``using``, after the rows are gone; not for rows that a cascade deletes.
bulk_deleted: Final = ModelSignal(use_caching=True)
