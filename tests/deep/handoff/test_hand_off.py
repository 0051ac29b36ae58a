"""A job that is handed off is a row in its own transaction, and nothing else happens."""

import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.tasks import TaskResult
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.core.jobs import hand_off_many
from apps.handoff import shared_tasks
from apps.handoff.celery_app import app
from apps.handoff.models import Handoff, Status, time_ordered_id

from ..example.tasks import add, record, shared
from ..test_hand_off import StopError

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_database_tells_the_time() -> None:
    before = timezone.now() - timedelta(seconds=1)
    record.enqueue("path", "text")

    row = Handoff.objects.due().get()
    assert row.due_at is not None
    assert before < row.handed_off_at <= row.due_at < timezone.now() + timedelta(seconds=1)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//", "nonsense"])
def test_no_socket_is_opened(url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CELERY_BROKER_URL = url

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with transaction.atomic():
        record.enqueue("path", "text")

    assert Handoff.objects.count() == 1


@pytest.mark.parametrize("text", ["\0", "\ud800", "ünï", "%s %", "'\"\\"])
def test_any_text_arrives(text: str, notes: Callable[[], list[str]]) -> None:
    record.enqueue("path", text)

    assert Handoff.objects.get().loaded_arguments()[0] == ["path", text]


def test_queue_priority_and_time_are_kept() -> None:
    later = timezone.now() + timedelta(hours=1)
    record.using(queue_name="reports", priority=7, run_after=later).enqueue("path", "text")

    row = Handoff.objects.get()
    assert (row.queue, row.priority, row.due_at) == ("reports", 7, later)
    assert not Handoff.objects.due().exists()


def test_a_priority_of_another_type_is_a_number() -> None:
    """Django's tasks take it, but a column of PostgreSQL takes no boolean for a number."""
    add.using(priority=True).enqueue(1, 2)

    assert Handoff.objects.get().priority == 1


def test_task_enqueued_is_sent_after_the_commit() -> None:
    told: list[tuple[str, bool]] = []

    def listen(task_result: TaskResult, **kwargs: Any) -> None:
        told.append((task_result.id, task_result.enqueued_at is not None))

    task_enqueued.connect(listen)
    try:
        with transaction.atomic():
            result = record.enqueue("path", "text")
            assert told == []
        with suppress(StopError), transaction.atomic():
            record.enqueue("path", "text")
            raise StopError
    finally:
        task_enqueued.disconnect(listen)

    assert told == [(result.id, True)]


def test_a_task_of_celery_is_handed_off_the_same_way(notes: Callable[[], list[str]]) -> None:
    ann = User.objects.create_user("ann")
    with acting_as(ann), suppress(StopError), transaction.atomic():
        shared_tasks.hand_off(shared, "path", "rolled back")
        raise StopError
    with acting_as(ann):
        key = shared_tasks.hand_off(shared, "path", text="committed")

    row = Handoff.objects.get()
    assert (str(row.pk), row.name, row.backend) == (key, shared.name, "")
    assert row.loaded_arguments() == (["path"], {"text": "committed"})
    assert row.actor == str(ann.pk)


def test_a_task_of_celery_that_asks_for_its_database_is_given_it() -> None:
    @app.task(bind=True, shared=False)
    def asks(self: Any, number: int, using: str) -> None: ...

    shared_tasks.hand_off(asks, 1, using="default")
    assert Handoff.objects.get().loaded_arguments() == ([1], {"using": "default"})


def test_results_are_looked_up_in_coroutines(notes: Callable[[], list[str]]) -> None:
    result = add.enqueue(1, 2)

    assert async_to_sync(add.aget_result)(result.id).id == result.id


def test_results_that_are_not_there_are_missed() -> None:
    for key in (str(time_ordered_id()), "nonsense"):
        with pytest.raises(TaskResultDoesNotExist):
            add.get_result(key)


def test_the_result_of_a_function_that_is_gone_is_missed() -> None:
    result = add.enqueue(1, 2)
    Handoff.objects.update(name="apps.gone.tasks.add")

    with pytest.raises(TaskResultDoesNotExist):
        add.get_result(result.id)


def test_ids_are_ordered_by_time() -> None:
    ids = [time_ordered_id() for _ in range(100)]

    assert len(set(ids)) == 100
    assert {key.version for key in ids} == {7}
    assert [key.int >> 64 for key in ids] == sorted(key.int >> 64 for key in ids)


def test_many_jobs_are_handed_off_in_one_statement(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with acting_as(User(pk=7)), django_assert_num_queries(1):
        hand_off_many(add, [(number, 2) for number in range(500)])
    rows = Handoff.objects.order_by("pk")
    assert [row.loaded_arguments()[0] for row in rows] == [[number, 2] for number in range(500)]
    assert {(row.actor, row.name, row.status) for row in rows} == {
        ("7", add.module_path, "waiting")
    }


def test_the_table_is_quoted_as_in_statements_of_django(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """The trail of changes then sees that this is no table of its own, and adds nothing."""
    with django_assert_num_queries(1) as queries:
        add.enqueue(1, 2)
    assert queries[0]["sql"].startswith('INSERT INTO "handoff_handoff" (')


def test_no_job_at_all_is_no_statement(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        hand_off_many(add, [])


def test_old_rows_are_flushed_and_no_others() -> None:
    now, old = timezone.now(), timezone.now() - timedelta(days=8)
    for values in (
        {"finished_at": old, "status": Status.DONE, "due_at": None},
        {"finished_at": now, "status": Status.DONE, "due_at": None},
        {"failed_at": old, "status": Status.FAILED, "due_at": None},
        {"due_at": old},
    ):
        Handoff.objects.create(name="x", queue="default", arguments="[[], {}]", **values)

    assert Handoff.objects.all().flush(timedelta(days=7)) == 1
    assert Handoff.objects.count() == 3


def test_unknown_queues_are_refused() -> None:
    with pytest.raises(InvalidTask, match="Queue"):
        record.using(queue_name="unknown")


def test_what_is_no_json_is_refused_when_it_is_handed_off() -> None:
    with transaction.atomic():
        with pytest.raises(TypeError, match="Unsupported type"):
            record.enqueue("path", object())  # type: ignore[arg-type]
        record.enqueue("path", "text")

    assert Handoff.objects.count() == 1
