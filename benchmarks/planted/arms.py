"""The ways of handing a job off that are compared, by name."""

from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

from django.db import transaction

HandOff = Callable[[UUID], object]


def through_the_project() -> HandOff:
    """Hand off as the template does."""
    from apps.core.jobs import hand_off

    from .tasks import fulfil

    return lambda order_id: hand_off(fulfil, str(order_id))


def after_the_commit() -> HandOff:
    """Hand off with ``on_commit`` and ``delay``."""
    from .plain import fulfil

    return lambda order_id: transaction.on_commit(partial(fulfil.delay, str(order_id)))


def delayed_on_commit() -> HandOff:
    """Hand off with Celery's own ``delay_on_commit``."""
    from .plain import fulfil

    return lambda order_id: fulfil.delay_on_commit(str(order_id))


def nothing() -> HandOff:
    """Hand nothing off: the floor."""
    return lambda order_id: None


ARMS: Final[dict[str, Callable[[], HandOff]]] = {
    "handoff": through_the_project,
    "plain": after_the_commit,
    "delay_on_commit": delayed_on_commit,
    "nothing": nothing,
}
