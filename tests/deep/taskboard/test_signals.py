"""Custom signals: typed, sent once by one place, in the transaction of what they tell of."""

import ast
import asyncio
from datetime import date
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, transaction
from django.dispatch import Signal
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.accounts.models import User
from apps.taskboard import services, signals
from apps.taskboard.models import Project, Task
from apps.taskboard.signals import (
    EventSignal,
    TaskAssigned,
    TaskCompleted,
    TaskOverdue,
    task_assigned,
    task_completed,
    task_overdue,
)

from ..helpers import Commit, confirm_addresses, connected, received, told

COMMITS = DjangoCaptureOnCommitCallbacks


def test_custom_signals_carry_the_event_that_their_receivers_expect() -> None:
    found = [signal for signal in vars(signals).values() if isinstance(signal, EventSignal)]
    own = [(signal, each) for signal in found for _, each, *_ in signal.receivers]
    assert len(own) == 4
    for signal, each in own:
        assert get_type_hints(each)["event"] is signal.event_type


def test_custom_signals_are_defined_where_nothing_of_the_app_is_imported() -> None:
    tree = ast.parse(Path(signals.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imports
    assert not [node.module for node in imports if node.level or "apps" in str(node.module)]


@pytest.mark.django_db(transaction=True)
def test_custom_signals_of_a_rolled_back_transaction_leave_nothing(
    task: Task, grace: User, mailoutbox: list[Any]
) -> None:
    confirm_addresses()
    with received(task_completed) as events, transaction.atomic():
        services.complete(task, by=grace)
        transaction.set_rollback(True)
    assert len(events) == 1
    assert (told(), mailoutbox, Task.objects.get().status) == ([], [], "open")


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_breaks_the_transaction_undoes_the_change_and_no_other(
    task: Task, grace: User
) -> None:
    def write_nonsense(sender: Any, **kwargs: Any) -> None:
        Task.objects.update(status="done", completed_at=None)

    with connected(task_completed, write_nonsense), transaction.atomic():
        Project.objects.create(name="Before")
        with pytest.raises(IntegrityError):
            services.complete(task, by=grace)
        Project.objects.create(name="After")
    assert (Task.objects.get().status, told()) == ("open", [])
    assert Project.objects.filter(name__in=["Before", "After"]).count() == 2


def test_events_of_rows_that_are_gone_tell_nobody(ada: User) -> None:
    for signal, event in (
        (task_completed, TaskCompleted(task_id=0, by_id=ada.pk)),
        (task_assigned, TaskAssigned(task_id=0, user_id=ada.pk, by_id=None)),
        (signals.task_unassigned, signals.TaskUnassigned(task_id=0, user_id=ada.pk, by_id=None)),
        (task_overdue, TaskOverdue(task_id=0, due_on=date(2026, 1, 1))),
    ):
        answers = signal.send_robust(type(event), event=event)
        assert [answer for _, answer in answers] == [None]
    assert told() == []


def test_completing_a_task_without_creator_tells_nobody(
    task: Task, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    Task.objects.update(creator=None)
    with django_capture_on_commit_callbacks(execute=True):
        services.complete(task, by=grace)
    assert (told(), Task.objects.get().status) == ([], "done")


def test_async_receiver_reminds_the_creator_when_nobody_is_assigned(task: Task) -> None:
    event = TaskOverdue(task_id=task.pk, due_on=date(2026, 1, 2))
    task_overdue.announce(event)
    assert [user for user, _ in told()] == ["ada"]
    Task.objects.update(creator=None)
    task_overdue.announce(event)
    assert len(told()) == 1


def test_asend_cancels_the_siblings_of_a_receiver_that_fails() -> None:
    """One TaskGroup runs all async receivers: a reason to send robustly."""
    signal = Signal()
    ended = []

    async def slow(sender: Any, **kwargs: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def quick(sender: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        raise RuntimeError

    with connected(signal, slow), connected(signal, quick), pytest.raises(RuntimeError):
        async_to_sync(signal.asend)(None)
    assert ended == ["cancelled"]


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
