"""A worker runs a job. Here Celery's own tracer does so in the process of the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import MaxRetriesExceededError, QueueNotFound, Retry
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task, TaskResult
from django.tasks.signals import task_finished, task_started
from django.utils import timezone

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.handoff import shared_tasks, worker
from apps.handoff.fallback import Loader
from apps.handoff.models import Handoff
from apps.handoff.testing import work_off

from .example import tasks

type Notes = Callable[[], list[str]]
type Run = Callable[..., list[str]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(notes: Notes, tmp_path: Path) -> Run:
    """Return a function that hands a job off, works all off and says what was noted."""

    def run(job: Task, *args: Any, actor: Any = None, **kwargs: Any) -> list[str]:
        with acting_as(actor, request_id="the-request"):
            job.enqueue(str(tmp_path / "notes"), *args, **kwargs)
        work_off()
        return notes()

    return run


@pytest.fixture
def heard() -> Iterator[list[tuple[str, int]]]:
    """Collect the signals of django.tasks as pairs of status and attempts."""
    signals: list[tuple[str, int]] = []

    def listen(task_result: TaskResult, **kwargs: Any) -> None:
        signals.append((task_result.status.value, task_result.attempts))

    for signal in (task_started, task_finished):
        signal.connect(listen)
    yield signals
    for signal in (task_started, task_finished):
        signal.disconnect(listen)


def test_a_job_runs_as_its_actor(run: Run) -> None:
    assert run(tasks.record, "text", actor=User.objects.create_user("ann")) == ["text ann 1"]


def test_the_signals_tell_of_each_attempt_and_of_one_end(
    run: Run, heard: list[tuple[str, int]]
) -> None:
    assert run(tasks.fail, times=2) == ["failed before nobody 3"]

    assert heard == [("RUNNING", 1), ("RUNNING", 2), ("RUNNING", 3), ("SUCCESSFUL", 3)]


def test_a_task_of_celery_gets_a_receipt_too(notes: Notes, tmp_path: Path) -> None:
    with acting_as(User.objects.create_user("ann")):
        shared_tasks.hand_off(tasks.shared, str(tmp_path / "notes"), "text")

    assert work_off() == 1
    assert notes() == ["text ann 1"]
    assert Handoff.objects.get().return_value == '"text"'


@pytest.mark.parametrize(
    "wrong", [{"expires": 9}, {"priority": 40_000}, {"eta": 9}, {"queue": "x"}]
)
def test_a_call_that_cannot_work_is_refused(wrong: dict[str, Any], notes: Notes) -> None:
    with pytest.raises((TypeError, QueueNotFound)):
        tasks.shared.apply_async(("path", "text"), **wrong)
    with pytest.raises(TypeError):
        tasks.shared.delay("path")  # type: ignore[call-arg]
    headers: Any = {"handoff": ["default", "no row"]}
    assert str(tasks.shared.apply(headers=headers).state) == "IGNORED"
    with pytest.raises(Retry):
        tasks.shared.retry(countdown=1)
    with pytest.raises(TypeError):
        tasks.shared.retry(throw=False)
    with pytest.raises(KeyError):
        tasks.shared.retry(exc=KeyError("last"), eta=timezone.now())
    with pytest.raises(MaxRetriesExceededError):
        tasks.shared.retry(max_retries=0)
    worker.report_revocation(SimpleNamespace(headers=headers, hostname="here"))
    worker.report_unknown(SimpleNamespace(hostname="here"), SimpleNamespace(headers=headers), "x")


def test_a_call_that_no_row_would_keep_is_refused() -> None:
    (route,) = Loader(SimpleNamespace(main="default")).read_configuration()["task_routes"]  # type: ignore[arg-type]
    with pytest.raises(ImproperlyConfigured, match=r"import apps\.handoff\.shared_tasks"):
        route("lost")
