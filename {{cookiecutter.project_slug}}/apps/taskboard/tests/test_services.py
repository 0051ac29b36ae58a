"""Services do one thing whole, once, and say whether it was they who did it."""

from datetime import date, timedelta

import pytest
from asgiref.sync import async_to_sync
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Project, Task
from apps.taskboard.signals import task_assigned, task_completed, task_overdue, task_unassigned

from .helpers import received, told

pytestmark = pytest.mark.django_db


COMMITS = DjangoCaptureOnCommitCallbacks


TODAY = date(2026, 3, 1)


def announce_overdue() -> int:
    return async_to_sync(services.announce_overdue)(TODAY)


def test_completing_twice_completes_once(
    task: Task, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    with received(task_completed) as events, django_capture_on_commit_callbacks(execute=True):
        stale = Task.objects.get()
        assert services.complete(task, by=grace)
        assert not services.complete(task, by=grace)
        assert not services.complete(stale, by=grace)
    assert len(events) == 1
    assert stale.completed_at == task.completed_at == Task.objects.get().completed_at


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


def test_assigning_twice_tells_once(
    task: Task, ada: User, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    with (
        received(task_assigned) as assigned,
        received(task_unassigned) as unassigned,
        django_capture_on_commit_callbacks(execute=True),
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


@pytest.fixture
def late(project: Project, ada: User) -> Task:
    return Task.objects.create(
        project=project, title="Late", creator=ada, due_on=TODAY - timedelta(days=1)
    )


def test_overdue_tasks_are_announced_once_for_each_due_date(late: Task) -> None:
    with received(task_overdue) as events:
        assert announce_overdue() == 1
        assert announce_overdue() == 0
        late.due_on = TODAY - timedelta(days=2)
        late.save(update_fields=["due_on"])
        assert announce_overdue() == 1
    assert [entry["event"].due_on.day for entry in events] == [28, 27]
    assert len(told()) == 2
