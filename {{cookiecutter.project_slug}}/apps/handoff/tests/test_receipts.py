"""The writes of a job are committed together with its receipt, once, or not at all."""

from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from django.tasks import Task
from pytest_django import Settings

from apps.accounts.models import User
from apps.handoff import worker
from apps.handoff.models import Handoff, Status
from apps.handoff.receipts import Run
from apps.handoff.relay import Relay, claim
from apps.handoff.testing import work_off

from .example import tasks

type Notes = Callable[[], list[str]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def broker(notes: Notes) -> None:
    """Give Celery a broker for each test, although nothing is sent to it here."""


def running(job: Task, *args: Any) -> tuple[Run, Handoff]:
    """Hand a job off, and start it as a process that does not exist."""
    result = job.enqueue(*args)
    (row,) = claim("default", "default", 1)
    run = Run.of("default", result.id)
    assert run is not None
    assert run.start("elsewhere")
    return run, row


def users() -> list[str]:
    """List the effects in the database."""
    return sorted(User.objects.values_list("username", flat=True))


def test_a_job_that_fails_leaves_no_effect_but_its_last_one() -> None:
    tasks.write_and_fail.enqueue(times=2)

    assert work_off() == 4  # and the one job that the last attempt handed off

    assert users() == ["written once"]
    handed_off = Handoff.objects.get(name=tasks.add.module_path)
    assert handed_off.loaded_arguments() == ([1, 3], {})
    assert set(Handoff.objects.values_list("status", flat=True)) == {Status.DONE}


@pytest.mark.parametrize("job", [tasks.commit_and_fail, tasks.commit_for_itself_and_fail])
def test_a_job_in_autocommit_commits_for_itself(job: Task, settings: Settings) -> None:
    options = {"RETRIES": 0, "AUTOCOMMIT": [tasks.commit_and_fail.module_path]}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    job.enqueue()

    work_off()

    assert users() == ["written in between"]
    assert Handoff.objects.get().status == Status.FAILED


def test_a_second_message_of_a_job_is_ignored() -> None:
    run, _ = running(tasks.add, 1, 2)

    assert not run.start("another")
    run.finish(3)
    assert not run.start("another")
    assert Handoff.objects.get().worker == "elsewhere"


@pytest.mark.parametrize("error", [WorkerLostError("killed"), TimeLimitExceeded(3)])
def test_a_killed_process_counts_as_a_failure(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = running(tasks.add, 1, 2)
    relay = Relay()
    monkeypatch.setattr(worker, "relays", [relay])
    worker.end_attempt({"handoff": ["default", str(run.row.pk)]}, "elsewhere", error)
    relay.write_ends()

    again = Handoff.objects.get()
    assert (again.status, again.attempts) == (Status.WAITING, 1)
    assert again.error.endswith(type(error).__name__)
