"""A job that is handed off is a row in its own transaction, and nothing else happens."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import transaction
from django.http import HttpRequest
from django.tasks import TaskResultStatus
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.core.actor import acting_as, acting_in
from apps.core.jobs import hand_off
from apps.handoff.models import Handoff, Status
from apps.handoff.testing import work_off

from .example.tasks import add, fail, record

pytestmark = pytest.mark.django_db(transaction=True)


class StopError(Exception):
    """Ends a transaction."""


def test_handing_off_is_one_insert(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    ann = User.objects.create_user("ann")
    with transaction.atomic(), acting_as(ann):
        with django_assert_num_queries(1) as queries:
            result = fail.enqueue("path", times=2)
        assert queries[0]["sql"].startswith("INSERT")

    row = Handoff.objects.get()
    assert str(row.pk) == result.id
    assert row.name == "apps.handoff.tests.example.tasks.fail"
    assert row.loaded_arguments() == (["path"], {"times": 2})
    assert (row.queue, row.backend, row.priority) == ("default", "default", 0)
    assert (row.status, row.attempts, row.sends) == (Status.WAITING, 0, 0)
    assert row.due_at is not None


def test_a_rollback_takes_the_job_along() -> None:
    with transaction.atomic():
        with suppress(StopError), transaction.atomic():
            record.enqueue("path", "inner")
            raise StopError
        record.enqueue("path", "outer")
    with suppress(StopError), transaction.atomic():
        record.enqueue("path", "text")
        raise StopError

    assert [row.loaded_arguments()[0] for row in Handoff.objects.all()] == [["path", "outer"]]


def test_the_named_database_keeps_the_job(other_database: str) -> None:
    with suppress(StopError), transaction.atomic():
        result = hand_off(add, 1, 2, using=other_database)
        raise StopError

    assert result is not None
    assert not Handoff.objects.exists()
    assert Handoff.objects.using(other_database).get().name == add.module_path
    assert add.get_result(result.id).status == TaskResultStatus.READY


def test_who_acts_and_for_which_request_is_kept() -> None:
    ann = User.objects.create_user("ann")
    request = HttpRequest()
    request.user = ann
    with acting_in(request, request_id="the-request"):
        record.enqueue("path", "text")
    record.enqueue("path", "text")

    first, second = Handoff.objects.order_by("pk")
    assert (first.actor, first.request_id) == (str(ann.pk), "the-request")
    assert (second.actor, second.request_id) == ("", "")


def test_results_are_looked_up(notes: Callable[[], list[str]]) -> None:
    result = add.enqueue(1, 2)
    assert add.get_result(result.id).status == TaskResultStatus.READY

    work_off()
    result.refresh()

    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 3
    assert result.attempts == 1
    assert result.finished_at is not None
