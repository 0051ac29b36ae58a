"""Custom signals: typed, sent once by one place after the commit, to receivers that may fail."""

import logging
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import date
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Task
from apps.taskboard.signals import (
    TaskAssigned,
    TaskCompleted,
    TaskOverdue,
    task_assigned,
    task_completed,
    task_overdue,
)

from .helpers import Commit, connected, received, told


def fail(sender: Any, **kwargs: Any) -> None:
    raise RuntimeError("no luck")


async def fail_async(sender: Any, **kwargs: Any) -> None:
    raise RuntimeError("no luck")


def test_custom_signals_refuse_another_payload_when_types_are_checked(db: None) -> None:
    """mypy runs over this file and would call each ignore unused if it accepted the line."""
    overdue = TaskOverdue(task_id=1, due_on=date(2026, 1, 1))
    with received(task_completed) as events, transaction.atomic():
        task_completed.announce(overdue)  # type: ignore[arg-type]
        task_assigned.announce(TaskCompleted(task_id=1, by_id=None))  # type: ignore[arg-type]
        transaction.set_rollback(True)
    with pytest.raises(TypeError):
        TaskAssigned(task_id=1, by_id=None)  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        overdue.task_id = 2  # type: ignore[misc]
    assert events == []


@pytest.mark.django_db(transaction=True)
def test_custom_signals_are_sent_after_the_commit_with_keys(task: Task, grace: User) -> None:
    with received(task_completed) as events:
        with transaction.atomic():
            services.complete(task, by=grace)
            assert events == []
        assert events == [
            {"sender": TaskCompleted, "event": TaskCompleted(task_id=task.pk, by_id=grace.pk)}
        ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broken", [fail, fail_async])
def test_send_robust_keeps_the_work_and_the_other_receivers(
    task: Task, grace: User, caplog: pytest.LogCaptureFixture, broken: Callable[..., Any]
) -> None:
    followed = []
    with (
        connected(task_completed, broken),
        received(task_completed) as later,
        transaction.atomic(),
    ):
        transaction.on_commit(lambda: followed.append("ran"))
        assert services.complete(task, by=grace)
        transaction.on_commit(lambda: followed.append("ran too"))
    assert Task.objects.get().status == "done"
    assert told() == [("ada", "grace completed “Write the program”.")]
    assert (len(later), followed) == (1, ["ran", "ran too"])
    assert f"Error calling {broken.__qualname__} in Signal.send_robust() (no luck)" in caplog.text


def test_completing_tells_the_creator_unless_it_was_them(
    task: Task, ada: User, grace: User, commit: Commit
) -> None:
    with commit():
        services.complete(task, by=ada)
    assert told() == []
    for person in (grace, None):
        services.reopen(task)
        with commit():
            services.complete(task, by=person)
    assert told() == [
        ("ada", "grace completed “Write the program”."),
        ("ada", "Somebody completed “Write the program”."),
    ]


def test_async_receiver_of_a_custom_signal_writes_with_the_async_orm(
    task: Task, grace: User
) -> None:
    task.assignees.add(grace)
    event = TaskOverdue(task_id=task.pk, due_on=date(2026, 1, 2))
    task_overdue.send_robust(TaskOverdue, event=event)
    async_to_sync(task_overdue.aannounce)(event)
    assert told() == [("grace", "“Write the program” was due on 02 January 2026.")] * 2


def test_asend_robust_survives_a_failing_receiver_and_asend_does_not(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    event = TaskOverdue(task_id=task.pk, due_on=date(2026, 1, 2))
    with connected(task_overdue, fail_async), caplog.at_level(logging.ERROR):
        async_to_sync(task_overdue.aannounce)(event)
        assert [user for user, _ in told()] == ["ada"]
        assert "no luck" in caplog.text
        with pytest.raises(RuntimeError, match="no luck"):
            async_to_sync(task_overdue.asend)(TaskOverdue, event=event)
