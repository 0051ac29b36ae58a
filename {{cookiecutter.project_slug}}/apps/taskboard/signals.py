"""The signals that the taskboard sends. Defined here, sent in ``services.py`` and ``receivers.py``.

An event holds primary keys. When a receiver or a job handles the event later, an instance could be
out of date or deleted.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db import DEFAULT_DB_ALIAS
from django.dispatch import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """Something happened to a task in the database ``using``."""

    task_id: int
    using: str = DEFAULT_DB_ALIAS


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(TaskEvent):
    """A task was completed; ``by_id`` is None when no person did it."""

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
        """Send the event at once, inside the transaction of the change.

        Rows and jobs of the receivers are committed with the change, or not at all. If it sent
        after the commit, a crash in between would lose the event. A receiver that fails undoes
        the change. So put outside work in a job, or in a receiver with ``after_commit=True``.

        Raises:
            Exception: the exception of a receiver.
        """
        # Receivers with ``after_commit=True`` wait for the database ``using``.
        self.send(self.event_type, event=event, using=event.using)


task_completed: Final = EventSignal(TaskCompleted)
task_assigned: Final = EventSignal(TaskAssigned)
task_unassigned: Final = EventSignal(TaskUnassigned)
task_overdue: Final = EventSignal(TaskOverdue)
