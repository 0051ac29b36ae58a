"""Jobs start after the commit, and never after a rollback."""

import logging
from typing import Any

import pytest
from django.db import transaction
from django.tasks import TaskResultStatus, task

from apps.accounts.models import User
from apps.core.actor import acting_as, current_actor, current_source
from apps.core.jobs import hand_off

ran: list[Any] = []


@task
def note(value: Any) -> None:
    ran.append((value, current_actor(), current_source()))


@task
def fail() -> None:
    raise RuntimeError("no luck")


@pytest.fixture(autouse=True)
def nothing_ran(jobs_in_process: None) -> None:
    ran.clear()


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("queue", [hand_off, lambda job, value: job.enqueue(value)])
def test_a_job_runs_after_the_commit_and_never_after_a_rollback(queue: Any) -> None:
    ada = User(username="ada")
    with acting_as(ada), transaction.atomic():
        result = queue(note, 1)
        with transaction.atomic():
            queue(note, 2)
            transaction.set_rollback(True)
        assert (ran, result.status) == ([], TaskResultStatus.READY)
    assert (ran, result.status) == ([(1, ada, "job")], TaskResultStatus.SUCCESSFUL)


def test_a_job_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="django.tasks"), transaction.atomic():
        failed = hand_off(fail)
        hand_off(note, 1)
    assert (ran, failed and failed.status) == ([(1, None, "job")], TaskResultStatus.FAILED)
    assert "no luck" in caplog.text
