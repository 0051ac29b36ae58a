"""The signals that the taskboard sends. Defined here, sent in ``services.py`` and ``receivers.py``.

An event names rows by their primary keys: by the time it is sent, after the
commit, an instance would be stale or gone.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final

from django.db import DEFAULT_DB_ALIAS, transaction
from django.dispatch import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """Something that has happened to a task in the database ``using``."""

    task_id: int
    using: str = DEFAULT_DB_ALIAS


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(TaskEvent):
    """A task was completed; ``by_id`` is None when nobody in particular did it."""

    by_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAssigned(TaskEvent):
    """A person was newly assigned to a task."""

    user_id: int
    by_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUnassigned(TaskEvent):
    """A person is no longer assigned to a task."""

    user_id: int
    by_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOverdue(TaskEvent):
    """A task was not done on the day it was due."""

    due_on: date


class EventSignal[Event: TaskEvent](Signal):
    """A signal that carries events of one type, as ``event``; its sender is that type.

    The type checker refuses an event of another type.
    """

    def __init__(self, event_type: type[Event]) -> None:
        super().__init__()
        self.event_type = event_type

    def announce(self, event: Event) -> None:
        """Send the event once the transaction at hand is committed; never after a rollback.

        A receiver that fails is logged. It stops neither the others nor the
        caller, whose work is done by then.
        """
        send = partial(self.send_robust, self.event_type, event=event)
        transaction.on_commit(send, using=event.using, robust=True)

    async def aannounce(self, event: Event) -> None:
        """Send the event from a coroutine, which has no transaction open to wait for."""
        await self.asend_robust(self.event_type, event=event)


task_completed: Final = EventSignal(TaskCompleted)
task_assigned: Final = EventSignal(TaskAssigned)
task_unassigned: Final = EventSignal(TaskUnassigned)
task_overdue: Final = EventSignal(TaskOverdue)
