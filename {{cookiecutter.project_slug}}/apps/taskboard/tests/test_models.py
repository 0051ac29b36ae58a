"""Invariants live in the model and in the database, where no update_fields can lose them."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.signals import pre_save
from django.utils import timezone

from apps.taskboard.models import Project, Task

from .helpers import at_once, connected

pytestmark = pytest.mark.django_db
Status = Task.Status


def test_save_keeps_an_invariant_that_pre_save_loses(task: Task) -> None:
    def raise_priority(sender: Any, instance: Task, **kwargs: Any) -> None:
        instance.priority = Task.Priority.HIGH

    task.status = Status.DONE
    with connected(pre_save, raise_priority, Task):
        task.save(update_fields=["status"])
    row = Task.objects.get()
    assert task.priority == Task.Priority.HIGH
    assert row.priority == Task.Priority.NORMAL, "set in memory, never written"
    assert row.completed_at is not None, "set by Task.save(), written"


def test_the_database_refuses_done_without_completed_at(task: Task) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.update(status=Status.DONE)
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.update(completed_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_equal_titles_saved_at_once_get_different_slugs(project: Project) -> None:
    pk = project.pk
    slugs = at_once(4, lambda: Task.objects.create(project_id=pk, title="Größe").slug)
    assert sorted(slugs) == ["größe", "größe-2", "größe-3", "größe-4"]
    names = at_once(3, lambda: Project.objects.create(name="Größe").slug)
    assert sorted(names) == ["größe", "größe-2", "größe-3"]
