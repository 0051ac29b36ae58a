"""Jobs reach the broker after the commit, and only then."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpRequest
from django.tasks import TaskResult
from django.tasks.exceptions import InvalidTask
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.core.actor import acting_as, acting_in
from apps.core.jobs import hand_off

from .conftest import Message
from .example.tasks import fail, record

type Published = Callable[[], list[Message]]

pytestmark = pytest.mark.django_db(transaction=True)


class StopError(Exception):
    """Ends a transaction."""


def test_a_job_is_published_after_the_commit(published: Published) -> None:
    with transaction.atomic():
        result = fail.enqueue("/tmp/x", times=2)  # noqa: S108
        hand_off(record, "/tmp/x", "second")  # noqa: S108
        assert published() == []

    first, second = published()
    assert first.headers["task"] == "apps.handoff.tests.example.tasks.fail"
    assert (first.args, first.kwargs) == (["/tmp/x"], {"times": 2})  # noqa: S108
    assert first.headers["id"] == result.id
    assert first.queue == "default"
    assert second.headers["task"] == "apps.handoff.tests.example.tasks.record"


def test_a_job_without_a_transaction_is_published_at_once(published: Published) -> None:
    record.enqueue("path", "text")

    assert len(published()) == 1


def test_nothing_is_published_for_a_rollback(published: Published) -> None:
    with suppress(StopError), transaction.atomic():
        record.enqueue("path", "text")
        raise StopError

    assert published() == []


def test_nothing_is_published_for_a_savepoint_that_is_rolled_back(published: Published) -> None:
    with transaction.atomic():
        with suppress(StopError), transaction.atomic():
            record.enqueue("path", "inner")
            raise StopError
        record.enqueue("path", "outer")

    assert [message.args for message in published()] == [["path", "outer"]]


def test_the_named_database_decides(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(transaction, "on_commit", lambda run, **options: asked.append(options))

    hand_off(record, "path", "text", using="elsewhere")

    assert asked == [{"using": "elsewhere", "robust": True}]


def test_what_is_no_json_is_refused_when_it_is_handed_off(published: Published) -> None:
    with transaction.atomic():
        with pytest.raises(TypeError, match="Unsupported type"):
            record.enqueue("path", object())  # type: ignore[arg-type]
        record.enqueue("path", "text")

    assert len(published()) == 1


def test_what_a_broker_may_not_keep_is_refused() -> None:
    with pytest.raises(InvalidTask, match="priority"):
        record.using(priority=5)
    with pytest.raises(InvalidTask, match="run_after"):
        record.using(run_after=timezone.now() + timedelta(hours=1))
    with pytest.raises(InvalidTask, match="Queue"):
        record.using(queue_name="unknown")


def test_the_actor_at_the_hand_off_travels_along(published: Published) -> None:
    ann = User.objects.create_user("ann")
    with transaction.atomic():
        with acting_as(ann):
            record.enqueue("path", "text")
        record.enqueue("path", "text")

    assert [message.headers["actor"] for message in published()] == [str(ann.pk), None]


def test_a_user_who_logs_in_after_the_hand_off_is_the_actor(published: Published) -> None:
    ann = User.objects.create_user("ann")
    request = HttpRequest()
    with acting_in(request), transaction.atomic():
        record.enqueue("path", "text")
        request.user = ann

    assert published()[0].headers["actor"] == str(ann.pk)


def test_the_id_of_the_request_travels_along(published: Published) -> None:
    with acting_in(HttpRequest(), request_id="the-request"), transaction.atomic():
        record.enqueue("path", "text")

    assert published()[0].headers["request_id"] == "the-request"


def test_nobody_is_looked_up_before_the_commit(
    published: Published, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def look_up() -> User:
        raise AssertionError("looked up")

    request = HttpRequest()
    request.user = SimpleLazyObject(look_up)  # type: ignore[assignment]
    with acting_in(request), suppress(StopError), transaction.atomic():
        with django_assert_num_queries(0):
            record.enqueue("path", "text")
        raise StopError

    assert published() == []


def test_task_enqueued_is_sent_for_what_was_published(published: Published) -> None:
    told: list[tuple[str, bool, int]] = []

    def listen(task_result: TaskResult, **kwargs: Any) -> None:
        told.append((task_result.id, task_result.enqueued_at is not None, len(published())))

    task_enqueued.connect(listen)
    try:
        with transaction.atomic():
            result = record.enqueue("path", "text")
            assert told == []
    finally:
        task_enqueued.disconnect(listen)

    assert told == [(result.id, True, 1)]
