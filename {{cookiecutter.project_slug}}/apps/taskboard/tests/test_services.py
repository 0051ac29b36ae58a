"""Services do one thing whole, once, and say whether it was they who did it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Task
from apps.taskboard.signals import task_assigned, task_completed, task_overdue, task_unassigned

from .helpers import Commit, at_once, received, told

pytestmark = pytest.mark.django_db


def test_completing_twice_completes_once(task: Task, grace: User, commit: Commit) -> None:
    with received(task_completed) as events, commit():
        stale = Task.objects.get()
        assert services.complete(task, by=grace)
        assert not services.complete(task, by=grace)
        assert not services.complete(stale, by=grace)
    assert len(events) == 1
    assert stale.completed_at == task.completed_at == Task.objects.get().completed_at


@pytest.mark.django_db(transaction=True)
def test_completing_at_once_completes_once(task: Task, grace: User) -> None:
    with received(task_completed) as events:
        results = at_once(4, lambda: services.complete(Task.objects.get(pk=task.pk), by=grace))
    assert sorted(results) == [False, False, False, True]
    assert len(events) == 1
    assert told() == [("ada", "grace completed “Write the program”.")]


def test_a_task_moves_as_it_should_and_not_otherwise(task: Task) -> None:
    assert not services.reopen(task)
    assert services.start(task)
    assert not services.start(task)
    assert not services.reopen(task)
    assert services.complete(task, by=None)
    assert not services.start(task)
    assert services.reopen(task)
    assert (task.status, task.completed_at) == ("open", None)
    assert Task.objects.get().completed_at is None


def test_assigning_twice_tells_once(task: Task, ada: User, grace: User, commit: Commit) -> None:
    with (
        received(task_assigned) as assigned,
        received(task_unassigned) as unassigned,
        commit(),
    ):
        services.assign(task, grace, by=ada)
        services.assign(task, grace, by=ada)
        services.unassign(task, grace, by=None)
        services.unassign(task, grace, by=ada)
    assert [entry["event"].by_id for entry in (*assigned, *unassigned)] == [ada.pk, None]
    assert told() == [
        ("grace", "ada assigned “Write the program” to you."),
        ("grace", "“Write the program” is no longer assigned to you."),
    ]


def test_overdue_tasks_are_announced_once_for_each_due_date(task: Task) -> None:
    announced: list[int] = []
    with received(task_overdue) as events:
        for days in (1, 1, 2):
            task.due_on = timezone.localdate() - timedelta(days=days)
            task.save(update_fields=["due_on"])
            announced.append(services.announce_overdue())
    assert [entry["event"].task_id for entry in events] == [task.pk, task.pk]
    assert (announced, len(told())) == ([1, 0, 1], 2)
