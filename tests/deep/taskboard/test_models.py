"""Invariants live in the model and in the database, where no update_fields can lose them."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.taskboard import models, services
from apps.taskboard.models import Notification, Project, Task

pytestmark = pytest.mark.django_db


Status = Task.Status


def test_completed_at_is_cleared_when_a_task_is_opened_again(task: Task) -> None:
    task.status = Status.DONE
    task.save()
    task.status = Status.OPEN
    task.save(update_fields=["status"])
    assert Task.objects.get().completed_at is None


def test_completed_at_stays_when_a_done_task_is_saved_again(task: Task) -> None:
    task.status = Status.DONE
    task.save()
    completed_at = Task.objects.get().completed_at
    Task.objects.get().save()
    Task.objects.get().save(update_fields=["status"])
    assert Task.objects.get().completed_at == completed_at


def test_update_or_create_sets_completed_at(task: Task) -> None:
    Task.objects.update_or_create(pk=task.pk, defaults={"status": Status.DONE})
    assert Task.objects.get().completed_at is not None


def test_other_fields_are_saved_without_looking_at_the_status(
    task: Task, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    deferred = Task.objects.only("title").get()
    deferred.title = "Write it well"
    with django_assert_num_queries(0):
        deferred.save(update_fields=[])
    task.status = Status.DONE
    task.title = "Write it"
    task.save(update_fields=["title"])
    Task.objects.filter(pk=task.pk).update(status=Status.IN_PROGRESS)
    deferred.save()
    assert "status" in deferred.get_deferred_fields()
    assert (Task.objects.get().title, Task.objects.get().status) == ("Write it well", "in progress")


def test_equal_titles_get_different_slugs(project: Project) -> None:
    slugs = [Task.objects.create(project=project, title="Größe").slug for _ in range(3)]
    assert slugs == ["größe", "größe-2", "größe-3"]
    other = Project.objects.create(name="Other")
    assert Task.objects.create(project=other, title="Größe").slug == "größe"


def test_a_slug_stays_when_the_title_changes(task: Task) -> None:
    task.title = "Rewrite"
    task.save()
    assert Task.objects.get().slug == "write-the-program"


def test_a_slug_of_the_caller_is_kept_or_refused(project: Project) -> None:
    assert Task.objects.create(project=project, title="A", slug="b").slug == "b"
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.create(project=project, title="A", slug="b")


def test_a_slug_that_was_taken_a_moment_ago_is_chosen_anew(
    project: Project, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [task.slug]
    free_slug = models.free_slug

    def outdated(*args: Any) -> str:
        return answers.pop() if answers else free_slug(*args)

    monkeypatch.setattr(models, "free_slug", outdated)
    again = Task.objects.create(project=project, title=task.title)
    assert (answers, again.slug) == ([], "write-the-program-2")
    assert Task.objects.count() == 2, "the test's own transaction is usable"


def test_a_row_that_is_refused_for_another_reason_is_not_tried_again(project: Project) -> None:
    task = Task(project=project, title="A", priority=-1)
    with pytest.raises(DatabaseError), transaction.atomic():
        task.save()
    assert task.slug == ""
    assert task.pk is None
    task.priority = Task.Priority.LOW
    task.save()
    assert task.slug == "a"


def test_bulk_create_cannot_leave_a_slug_empty(project: Project) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.bulk_create([Task(project=project, title="A")])


def test_statistics_are_queried_and_so_never_wrong(project: Project, task: Task) -> None:
    yesterday = timezone.localdate() - timedelta(days=1)
    Task.objects.create(project=project, title="Late", due_on=yesterday)
    Task.objects.create(project=project, title="Done", due_on=yesterday, status=Status.DONE)

    def counts() -> tuple[int, int, int]:
        found: Any = Project.objects.with_statistics().get()
        return found.task_count, found.done_count, found.overdue_count

    assert counts() == (3, 1, 1)
    # No signal is sent for these; stored numbers would be wrong now.
    Task.objects.filter(pk=task.pk).update(status=Status.DONE, completed_at=timezone.now())
    Task.objects.bulk_create([Task(project=project, title="B", slug="b", due_on=yesterday)])
    assert counts() == (4, 2, 2)


@pytest.mark.parametrize(
    ("days", "status", "overdue"),
    [(-1, Status.OPEN, True), (0, Status.OPEN, False), (-1, Status.DONE, False)],
)
def test_a_task_is_overdue_after_its_day(
    project: Project, days: int, status: str, overdue: bool
) -> None:
    due_on = timezone.localdate() + timedelta(days=days)
    task = Task.objects.create(project=project, title="A", status=status, due_on=due_on)
    assert task.is_overdue == bool(services.announce_overdue()) == overdue


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Write the program", "write-the-program"),
        ("Größe messen", "größe-messen"),
        ("大小を測る", "大小を測る"),
        ("🎉!", "untitled"),
        ("", "untitled"),
        ("x" * 200, "x" * 50),
    ],
)
def test_every_title_gives_a_usable_slug(project: Project, title: str, slug: str) -> None:
    task = Task.objects.create(project=project, title=title)
    assert task.slug == slug
    assert Task.objects.get(slug=slug).get_absolute_url().startswith("/taskboard/")


def test_a_user_is_forgotten_in_notifications(ada: User, grace: User, task: Task) -> None:
    for user, text in (
        (ada, "Read this."),
        (grace, "ada assigned “it” to you."),
        (grace, "adam did."),
    ):
        Notification.objects.create(user=user, task=task, text=text)
    config: Any = apps.get_app_config("taskboard")
    assert [config.forget(ada.pk, "default") for _ in range(2)] == [2, 0]
    texts = Notification.objects.order_by("pk").values_list("user", "text")
    assert list(texts) == [(grace.pk, "Somebody assigned “it” to you."), (grace.pk, "adam did.")]
