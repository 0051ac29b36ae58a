"""Jobs start after the commit, and never without one."""

import logging
from typing import Any

import pytest
from django.db import transaction
from django.tasks import TaskResultStatus, task

from apps.accounts.models import User
from apps.core.actor import acting_as, current_actor, current_source
from apps.core.jobs import autocommit, commits_for_itself, hand_off

ran: list[Any] = []


@task
def note(value: Any) -> Any:
    ran.append(value)
    return value


@task
def note_actor() -> None:
    ran.append((current_actor(), current_source()))


@task
@autocommit
def fail() -> None:
    raise RuntimeError("no luck")


@pytest.fixture(autouse=True)
def nothing_ran(jobs_in_process: None) -> None:
    ran.clear()


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("queue", [hand_off, lambda job, value: job.enqueue(value)])
def test_a_job_runs_after_the_commit_and_never_after_a_rollback(queue: Any) -> None:
    with transaction.atomic():
        result = queue(note, 1)
        with transaction.atomic():
            queue(note, 2)
            transaction.set_rollback(True)
        assert (ran, result.status) == ([], TaskResultStatus.READY)
    assert (ran, result.status) == ([1], TaskResultStatus.SUCCESSFUL)
    queue(note, 3)
    assert ran == [1, 3]


def test_a_job_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="django.tasks"), transaction.atomic():
        failed = hand_off(fail)
        hand_off(note, 1)
    assert (ran, failed and failed.status) == ([1], TaskResultStatus.FAILED)
    assert "no luck" in caplog.text


def test_a_job_knows_who_acted_and_what_it_is() -> None:
    ada = User(username="ada")
    with acting_as(ada), transaction.atomic():
        hand_off(note_actor)
    assert ran == [(ada, "job")]
    assert (commits_for_itself(fail), commits_for_itself(note)) == (True, False)


def test_the_named_database_decides(other_database: str) -> None:
    with transaction.atomic(using=other_database):
        hand_off(note, 1, using=other_database)
        hand_off(note, 2)
        assert ran == [2]
    assert ran == [2, 1]
