"""What a worker does with a job, tried in this process with Celery's own tracer."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery.exceptions import Reject, TimeLimitExceeded
from celery.signals import task_failure
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.signals import task_finished, task_started
from pytest_django import Settings

from apps.accounts.models import User
from apps.handoff.backend import declared_jobs

from .example import tasks

type Run = Callable[..., Any]

pytestmark = pytest.mark.django_db


@pytest.fixture
def celery_task(use_broker: Callable[[str], None], tmp_path: Path) -> Callable[[str], Any]:
    """Return a function that gives the Celery task of a job of the example."""
    use_broker(f"filesystem://{tmp_path}/broker")
    from apps.handoff.celery import app
    from apps.handoff.worker import register_jobs

    register_jobs()
    return lambda name: app.tasks[f"{tasks.__name__}.{name}"]


@pytest.fixture
def run(celery_task: Callable[[str], Any], tmp_path: Path) -> Run:
    """Return a function that runs a job, its retries at once, and says what the job noted."""
    notes = tmp_path / "notes"

    def run(name: str, *args: Any, actor: Any = None, **kwargs: Any) -> list[str]:
        notes.write_text("", encoding="utf-8")
        headers = {"actor": actor}
        celery_task(name).apply([str(notes), *args], kwargs, headers=headers, task_id="the-id")
        return notes.read_text(encoding="utf-8").splitlines()

    return run


@pytest.fixture
def heard() -> Any:
    """Collect the signals of django.tasks as pairs of status and attempts."""
    signals: list[tuple[str, int]] = []

    def listen(task_result: TaskResult, **kwargs: Any) -> None:
        signals.append((task_result.status.value, task_result.attempts))

    for signal in (task_started, task_finished):
        signal.connect(listen)
    yield signals
    for signal in (task_started, task_finished):
        signal.disconnect(listen)


def test_every_declared_job_has_a_celery_task_that_is_kept_until_it_is_done(
    celery_task: Callable[[str], Any],
) -> None:
    registered = celery_task("record").app.tasks

    assert set(declared_jobs) <= set(registered)
    for name in declared_jobs:
        assert registered[name].acks_late
        assert registered[name].reject_on_worker_lost
        assert registered[name].retry_on_worker_lost


def test_a_job_runs_as_its_actor(run: Run) -> None:
    ann = User.objects.create_user("ann")

    assert run("record", "text", actor=str(ann.pk)) == ["text ann 1"]


def test_a_job_of_nobody_or_of_a_deleted_user_runs_as_nobody(run: Run) -> None:
    assert run("record", "text", actor=None) == ["text nobody 1"]
    assert run("record", "text", actor="4711") == ["text nobody 1"]


def test_the_actor_is_looked_up_only_when_a_job_asks(
    run: Run, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert run("fail", times=99, actor="4711") == []


def test_a_coroutine_runs(run: Run) -> None:
    assert run("record_later", "text") == ["text nobody 1"]


def test_the_signals_tell_of_each_attempt_and_of_one_end(
    run: Run, heard: list[tuple[str, int]]
) -> None:
    assert run("fail", times=2) == ["failed before nobody 3"]

    assert heard == [("RUNNING", 1), ("RUNNING", 2), ("RUNNING", 3), ("SUCCESSFUL", 3)]


def test_the_last_failure_is_logged_with_what_to_do(
    run: Run, heard: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    assert run("fail", times=99) == []

    assert heard[-2:] == [("RUNNING", 9), (TaskResultStatus.FAILED.value, 9)]
    errors = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert [entry.name for entry in errors] == ["django.tasks", "apps.handoff.worker"]
    assert "ValueError: wrong in attempt 9" in caplog.text
    assert "tasks.fail(" in errors[1].getMessage()
    assert "times=99" in errors[1].getMessage()
    assert "(id the-id) failed in attempt 9" in errors[1].getMessage()


def test_a_job_that_returns_no_json_is_not_run_again(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert run("return_what_is_no_json") == ["no json nobody 1"]

    assert "failed in attempt 1 with TypeError" in caplog.text


def test_a_time_limit_is_reported_once(
    celery_task: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    task = celery_task("record")
    task.push_request(id="the-id", args=["path", "text"], kwargs={}, headers=None)
    try:
        raise TimeLimitExceeded(1)
    except TimeLimitExceeded as error:
        told = {"sender": task, "exception": error, "einfo": ExceptionInfo()}

    # As Celery does it: first with the job, then without.
    task_failure.send(**told)
    task.pop_request()
    task_failure.send(**told)

    assert caplog.text.count("failed in attempt 1 with TimeLimitExceeded") == 1
    assert "Signal handler" not in caplog.text


@pytest.mark.parametrize(("retries", "longest"), [(0, 5), (1, 10), (7, 640), (20, 900)])
def test_the_pauses_double_and_differ(
    retries: int, longest: int, celery_task: Callable[[str], Any]
) -> None:
    task = celery_task("record")
    options = {"is_eager": True, "called_directly": False, "args": [], "kwargs": {}}
    task.max_retries = 30
    task.push_request(retries=retries, **options)

    pauses = {task.run_later(ValueError()).when for _ in range(20)}

    assert all(longest / 2 <= pause <= longest for pause in pauses)
    assert len(pauses) > 1


def test_a_job_stays_on_the_broker_when_its_retry_cannot_be_published(
    celery_task: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = celery_task("record")
    monkeypatch.setattr("apps.handoff.transport.Channel._put", lambda *args, **kwargs: [].pop())
    task.push_request(id="the-id", retries=0, called_directly=False, args=[], kwargs={})

    with pytest.raises(Reject) as rejected:
        task.run_later(ValueError())

    assert rejected.value.requeue  # type: ignore[attr-defined]


def test_settings_of_the_project_win_and_options_of_the_broker_add_up(
    celery_task: Callable[[str], Any], settings: Settings
) -> None:
    settings.CELERY_WORKER_CONCURRENCY = 3
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 7200}
    celery_settings = sys.modules["apps.handoff.celery"].celery_settings()

    assert celery_settings["worker_concurrency"] == 3
    options = celery_settings["broker_transport_options"]
    assert options["visibility_timeout"] == 7200
    assert options["max_retries"] == 0


def test_django_starts_without_loading_celery(settings: Settings) -> None:
    program = (
        "import django, sys; django.setup(); from django.core.checks import run_checks;"
        " assert not run_checks(); print(*{'celery', 'django.tasks', 'kombu'} & set(sys.modules))"
    )

    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], cwd=settings.BASE_DIR, capture_output=True, text=True
    )

    assert (result.stdout.strip(), result.stderr) == ("django.tasks", "")
