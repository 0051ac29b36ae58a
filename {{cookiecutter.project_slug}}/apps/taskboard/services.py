"""Actions on tasks: each function does one thing completely, and announces it once."""

import logging
from datetime import date
from typing import cast

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import User
from apps.core.actor import acting_as

from .models import Task
from .signals import TaskCompleted, TaskOverdue, task_completed, task_overdue

logger = logging.getLogger(__name__)


def start(task: Task) -> bool:
    """Start an open task; return False when it is not open, or was deleted."""
    return _move(task, {Task.Status.OPEN}, Task.Status.IN_PROGRESS)


def reopen(task: Task) -> bool:
    """Open a task that is done; return False when it is not done, or was deleted."""
    return _move(task, {Task.Status.DONE}, Task.Status.OPEN)


def complete(task: Task, by: User | None) -> bool:
    """Complete a task and announce it once, even when several calls run at the same time.

    Args:
        task: the task; its status is brought up to date.
        by: the person who completes it; None when no person does.

    Returns:
        True when this call completed it, False when it was done before, or was deleted.
    """
    with transaction.atomic(using=task._state.db):
        completed = _move(task, {Task.Status.OPEN, Task.Status.IN_PROGRESS}, Task.Status.DONE)
        if completed:
            by_id = by.pk if by else None
            using = task._state.db or DEFAULT_DB_ALIAS
            task_completed.announce(TaskCompleted(task_id=task.pk, by_id=by_id, using=using))
    return completed


def assign(task: Task, person: User, by: User | None) -> None:
    """Assign a person, unless the task or the person was deleted.

    The receiver of the change announces it, because other code assigns people too.
    """
    with acting_as(by):
        task.assignees.add(person)


def unassign(task: Task, person: User, by: User | None) -> None:
    """Remove a person from a task. The receiver of the change announces it."""
    with acting_as(by):
        task.assignees.remove(person)


def announce_overdue(using: str = DEFAULT_DB_ALIAS) -> int:
    """Announce each overdue task once for its due date; return how many were announced.

    One UPDATE claims a task, so two runs at the same time announce it once. A task that was
    completed meanwhile is skipped. The claim is committed with the rows that receivers write.
    When a receiver fails, or the process dies, the next run announces the task.
    """
    announced = 0
    late = Task.objects.using(using).filter(due_on__lt=timezone.localdate())
    overdue = late.exclude(status=Task.Status.DONE).exclude(overdue_announced_for=F("due_on"))
    for task in list(overdue.order_by("pk")):
        due_on = cast(date, task.due_on)
        claimed = overdue.filter(pk=task.pk, due_on=due_on)
        try:
            with transaction.atomic(using=using):
                if claimed.update(overdue_announced_for=due_on):
                    event = TaskOverdue(task_id=task.pk, due_on=due_on, using=using)
                    task_overdue.announce(event)
                    announced += 1
        except Exception:
            logger.exception("Overdue task %s is not announced; the next run tries again.", task.pk)
    return announced


def _move(task: Task, before: set[Task.Status], after: Task.Status) -> bool:
    """Change the status of a task that has one of ``before``, with its row locked."""
    using = task._state.db
    with transaction.atomic(using=using):
        row = Task.objects.using(using).select_for_update().filter(pk=task.pk).first()
        if row is None:
            return False
        moved = row.status in before
        if moved:
            row.status = after
            row.save(update_fields=["status"])
    task.status, task.completed_at = row.status, row.completed_at
    return moved
