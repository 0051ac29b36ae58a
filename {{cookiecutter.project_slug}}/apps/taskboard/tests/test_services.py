"""Services do one thing whole, once, and say whether it was they who did it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Task
from apps.taskboard.signals import task_completed, task_overdue

from .helpers import at_once, received, told

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_completing_at_once_completes_once(task: Task, grace: User) -> None:
    with received(task_completed) as events:
        results = at_once(4, lambda: services.complete(Task.objects.get(pk=task.pk), by=grace))
    assert sorted(results) == [False, False, False, True]
    assert len(events) == 1
    assert told() == [("ada", "grace completed “Write the program”.")]


def test_overdue_tasks_are_announced_once_for_each_due_date(task: Task) -> None:
    announced: list[int] = []
    with received(task_overdue) as events:
        for days in (1, 1, 2):
            task.due_on = timezone.localdate() - timedelta(days=days)
            task.save(update_fields=["due_on"])
            announced.append(services.announce_overdue())
    assert [entry["event"].task_id for entry in events] == [task.pk, task.pk]
    assert (announced, len(told())) == ([1, 0, 1], 2)
