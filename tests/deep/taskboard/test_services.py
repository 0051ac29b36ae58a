"""Services do one thing whole, once, and say whether it was they who did it."""

from datetime import date, timedelta
from typing import Any

import pytest

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Notification, Project, Task
from apps.taskboard.signals import (
    TaskOverdue,
    task_assigned,
    task_completed,
    task_overdue,
    task_unassigned,
)

from ..helpers import Commit, at_once, connected, received, told

pytestmark = pytest.mark.django_db


TODAY = date(2026, 3, 1)


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.localdate", lambda: TODAY)


@pytest.mark.django_db(transaction=True)
def test_completing_at_once_completes_once(task: Task, grace: User) -> None:
    with received(task_completed) as events:
        results = at_once(4, lambda: services.complete(Task.objects.get(pk=task.pk), by=grace))
    assert sorted(results) == [False, False, False, True]
    assert len(events) == 1
    assert told() == [("ada", "grace completed “Write the program”.")]


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_complete_once(client: Any, task: Task, grace: User) -> None:
    client.force_login(grace)
    cookies = client.cookies
    url = task.get_absolute_url()

    def request() -> int:
        own = type(client)()
        own.cookies = cookies
        return int(own.post(url, {"action": "complete"}).status_code)

    with received(task_completed) as events:
        assert at_once(2, request) == [302, 302]
    assert len(events) == 1


@pytest.fixture
def late(project: Project, ada: User) -> Task:
    return Task.objects.create(
        project=project, title="Late", creator=ada, due_on=TODAY - timedelta(days=1)
    )


def test_overdue_tasks_are_announced_once_for_each_due_date(late: Task) -> None:
    with received(task_overdue) as events:
        assert services.announce_overdue() == 1
        assert services.announce_overdue() == 0
        late.due_on = TODAY - timedelta(days=2)
        late.save(update_fields=["due_on"])
        assert services.announce_overdue() == 1
    assert [entry["event"].due_on.day for entry in events] == [28, 27]
    assert len(told()) == 2


def test_overdue_tasks_are_those_after_their_day_that_are_not_done(
    project: Project, late: Task
) -> None:
    Task.objects.create(project=project, title="Today", due_on=TODAY)
    Task.objects.create(project=project, title="Some day")
    services.complete(late, by=None)
    with received(task_overdue) as events:
        assert services.announce_overdue() == 0
    assert events == []


@pytest.mark.django_db(transaction=True)
def test_overdue_tasks_found_by_two_at_once_are_announced_once(late: Task) -> None:
    with received(task_overdue) as events:
        assert sorted(at_once(3, services.announce_overdue)) == [0, 0, 1]
    assert len(events) == 1


def test_overdue_tasks_that_were_just_completed_are_left_alone(
    project: Project, late: Task
) -> None:
    """The first announcement completes the second task, which has been read by then."""
    second = Task.objects.create(project=project, title="Second", due_on=late.due_on)

    def complete_second(sender: Any, **kwargs: Any) -> None:
        services.complete(second, by=None)

    with connected(task_overdue, complete_second):
        assert services.announce_overdue() == 1
    assert Task.objects.get(pk=second.pk).overdue_announced_for is None


def test_overdue_tasks_are_not_held_up_by_one_whose_receiver_fails(
    project: Project, late: Task, caplog: pytest.LogCaptureFixture
) -> None:
    second = Task.objects.create(project=project, title="Second", due_on=late.due_on)

    def fail(sender: Any, event: TaskOverdue, **kwargs: Any) -> None:
        if event.task_id == late.pk:
            Notification.objects.create(user=User.objects.get(), task=late, text="half of it")
            raise RuntimeError("no luck")

    with connected(task_overdue, fail):
        assert services.announce_overdue() == 1
    assert "no luck" in caplog.text
    assert told() == []  # the second task has no assignee
    assert list(Task.objects.filter(overdue_announced_for=None)) == [late]
    assert services.announce_overdue() == 1
    assert [user for user, _ in told()] == ["ada"]
    assert not Task.objects.filter(pk=second.pk, overdue_announced_for=None).exists()


def test_completing_twice_completes_once(task: Task, grace: User, commit: Commit) -> None:
    with received(task_completed) as events, commit():
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
