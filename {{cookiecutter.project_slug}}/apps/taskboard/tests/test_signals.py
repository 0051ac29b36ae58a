"""Custom signals: typed, sent once by one place, in the transaction of what they tell of."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import date
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from apps.accounts.models import User
from apps.core.dispatch import mute
from apps.taskboard import services
from apps.taskboard.models import Notification, Task
from apps.taskboard.signals import (
    TaskAssigned,
    TaskCompleted,
    TaskOverdue,
    task_assigned,
    task_completed,
    task_overdue,
)

from .helpers import confirm_addresses, connected, received, told


def fail(sender: Any, **kwargs: Any) -> None:
    raise RuntimeError("no luck")


async def fail_async(sender: Any, **kwargs: Any) -> None:
    raise RuntimeError("no luck")


def test_custom_signals_refuse_another_payload_when_types_are_checked() -> None:
    """mypy runs over this file and would call each ignore unused if it accepted the line."""
    overdue = TaskOverdue(task_id=1, due_on=date(2026, 1, 1))
    with mute(TaskCompleted, TaskAssigned):
        task_completed.announce(overdue)  # type: ignore[arg-type]
        task_assigned.announce(TaskCompleted(task_id=1, by_id=None))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        TaskAssigned(task_id=1, by_id=None)  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        overdue.task_id = 2  # type: ignore[misc]


@pytest.mark.django_db(transaction=True)
def test_custom_signals_are_sent_in_the_transaction_with_keys(task: Task, grace: User) -> None:
    """So nothing is lost when the process dies right after the commit, before any callback."""
    event = TaskCompleted(task_id=task.pk, by_id=grace.pk)
    for undone in (True, False):
        with received(task_completed) as events, transaction.atomic():
            services.complete(task, by=grace)
            transaction.set_rollback(undone)
        assert events == [{"sender": TaskCompleted, "event": event, "using": "default"}]
        assert told() == [] if undone else [("ada", "grace completed “Write the program”.")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broken", [fail, fail_async])
def test_send_undoes_the_work_where_send_robust_leaves_half_of_it(
    task: Task, grace: User, mailoutbox: list[Any], broken: Callable[..., Any]
) -> None:
    confirm_addresses()
    event = TaskCompleted(task_id=task.pk, by_id=grace.pk)
    with connected(task_completed, broken):
        with pytest.raises(RuntimeError, match="no luck"):
            services.complete(task, by=grace)
        assert (Task.objects.get().status, told(), mailoutbox) == ("open", [], [])
        task_completed.send_robust(TaskCompleted, event=event)
    assert (Task.objects.get().status, len(told()), len(mailoutbox)) == ("open", 1, 1)


def test_async_receiver_of_a_custom_signal_writes_with_the_async_orm(
    task: Task, grace: User
) -> None:
    """Sent from synchronous code, in its transaction, and from a coroutine."""
    task.assignees.add(grace)
    event = TaskOverdue(task_id=task.pk, due_on=date(2026, 1, 2))
    Notification.objects.all().delete()
    with transaction.atomic():
        task_overdue.announce(event)
        assert len(told()) == 1
        transaction.set_rollback(True)
    assert told() == []
    async_to_sync(task_overdue.asend)(TaskOverdue, event=event)
    assert told() == [("grace", "“Write the program” was due on 02 January 2026.")]


@pytest.mark.django_db(transaction=True)
def test_asend_loses_what_send_in_a_transaction_keeps(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine has no transaction: the claim is committed before anybody is told."""
    due_on = date(2026, 1, 2)
    Task.objects.update(due_on=due_on)

    async def claim_and_send() -> None:
        await Task.objects.aupdate(overdue_announced_for=due_on)
        await task_overdue.asend(TaskOverdue, event=TaskOverdue(task_id=task.pk, due_on=due_on))

    with connected(task_overdue, fail_async):
        with pytest.raises(RuntimeError, match="no luck"):
            async_to_sync(claim_and_send)()
        assert services.announce_overdue() == 0, "nobody is ever told"

        Task.objects.update(overdue_announced_for=None)
        assert services.announce_overdue() == 0
        assert f"Overdue task {task.pk} is not announced" in caplog.text
        assert told() == []
    assert services.announce_overdue() == 1
    assert [user for user, _ in told()] == ["ada"]
