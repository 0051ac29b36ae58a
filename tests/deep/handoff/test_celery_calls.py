"""Each option of a call of a Celery task works, or is refused in one sentence."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Task as CeleryTask
from celery import chain
from celery.exceptions import QueueNotFound, Retry
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils import timezone
from kombu import Queue
from pytest_django import Settings

from apps.core.jobs import hand_off
from apps.handoff import shared_tasks
from apps.handoff.models import Handoff, Status
from apps.handoff.relay import claim
from apps.handoff.testing import work_off

from . import tasks

NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001 - without a zone

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def broker(notes: Callable[[], list[str]]) -> None:
    """Give Celery a broker for each test."""
    from apps.handoff import celery_app  # noqa: F401 - the app of the tasks


def row() -> Handoff:
    """Return the one job in the outbox."""
    return Handoff.objects.get()


@pytest.mark.parametrize("call", ["delay", "delay_on_commit"])
def test_a_plain_call_is_a_row_of_its_transaction(call: str) -> None:
    getattr(tasks.shared, call)("path", text="kept")
    with suppress(ZeroDivisionError), transaction.atomic():
        getattr(tasks.shared, call)("path", text="rolled back")
        raise ZeroDivisionError

    assert row().loaded_arguments() == (["path"], {"text": "kept"})


def test_the_options_of_a_call_are_kept() -> None:
    result = tasks.shared.apply_async(("path", "text"), countdown=3600, queue="reports", priority=7)

    job = row()
    assert (str(job.pk), job.queue, job.priority) == (result.id, "reports", 7)
    assert job.due_at is not None
    assert timedelta(minutes=59) < job.due_at - timezone.now() <= timedelta(hours=1)


def test_a_time_is_kept() -> None:
    later = timezone.now() + timedelta(days=1)
    tasks.shared.apply_async(("path", "text"), eta=later)
    assert row().due_at == later


@pytest.mark.parametrize(
    "options", [{"expires": 60}, {"link": "other"}, {"time_limit": 3}, {"headers": {"a": 1}}]
)
def test_an_option_that_would_be_ignored_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"cannot be handed off with {next(iter(options))}"):
        tasks.shared.apply_async(("path", "text"), **options)
    assert not Handoff.objects.exists()


def test_a_chain_is_refused() -> None:
    with pytest.raises(TypeError, match="let this task hand off the next one"):
        chain(tasks.shared.si("path", "1"), tasks.shared.si("path", "2")).apply_async()
    assert not Handoff.objects.exists()


def test_a_signature_is_handed_off_with_its_arguments_or_refused() -> None:
    with pytest.raises(TypeError, match="without a signature"):
        shared_tasks.hand_off(tasks.shared.s("path", "text"))
    tasks.shared.s("path", "text").delay()
    assert row().loaded_arguments() == (["path", "text"], {})


def test_a_queue_that_no_worker_reads_is_refused() -> None:
    with pytest.raises(QueueNotFound, match="'nowhere'"):
        tasks.shared.apply_async(("path", "text"), queue="nowhere")


def test_routes_and_a_default_queue_are_followed(
    settings: Settings, use_broker: Callable[[str], None]
) -> None:
    settings.CELERY_TASK_ROUTES = {tasks.shared.name: {"queue": "reports"}}
    settings.CELERY_TASK_DEFAULT_QUEUE = "other"
    use_broker("memory://")
    from apps.handoff import celery_app  # noqa: F401

    tasks.shared.delay("path", "text")
    tasks.retry_in.delay("path", 0)
    queues = dict(Handoff.objects.values_list("name", "queue"))
    assert queues == {tasks.shared.name: "reports", tasks.retry_in.name: "other"}


def test_a_job_is_held_back_to_the_rate_that_the_settings_name(
    settings: Settings, use_broker: Callable[[str], None]
) -> None:
    name = "apps.handoff.tests.example.tasks.record"
    settings.CELERY_TASK_ANNOTATIONS = {name: {"rate_limit": "30/m"}}
    use_broker("memory://")
    from apps.handoff.celery_app import app
    from apps.handoff.worker import register_jobs

    register_jobs()

    assert app.tasks[name].rate_limit == "30/m"


@pytest.mark.parametrize("seconds", [0.5, 1000.25])
def test_a_retry_comes_when_the_task_says(seconds: float) -> None:
    tasks.retry_in.delay("path", seconds)
    begin = timezone.now()

    assert work_off() == 1

    job = row()
    assert (job.status, job.attempts) == (Status.WAITING, 1)
    assert job.due_at is not None
    assert job.due_at - begin >= timedelta(seconds=seconds)
    # Not the pause of another kind of failure.
    assert timezone.now() + timedelta(seconds=seconds) >= job.due_at


def test_a_task_is_retried_as_often_as_it_says() -> None:
    tasks.retry_twice.delay()

    assert work_off() == 3

    job = row()
    assert (job.status, job.attempts) == (Status.FAILED, 3)
    assert job.error == "builtins.ValueError"


def test_a_task_has_the_same_id_in_each_attempt() -> None:
    """A message has another one, but a task may use its id as an idempotency key."""
    result = tasks.tell_id.delay()
    claim("default", "default")

    headers: Any = {"handoff": ["default", result.id]}
    tasks.tell_id.apply(task_id=f"{result.id}.123", headers=headers)

    assert row().return_value == f'"{result.id}"'


def test_a_thread_hands_off_as_well() -> None:
    """A server answers requests in threads, of which each has a current app of its own."""
    with ThreadPoolExecutor() as pool:
        assert pool.submit(isinstance, tasks.tell_id, shared_tasks.OutboxTask).result()


def test_a_call_that_no_row_would_keep_is_refused(settings: Settings) -> None:
    """Celery would use an app of its own, and a queue that no worker reads."""
    program = (
        "import json, django; django.setup(); from celery import shared_task\n"
        "task = shared_task(json.dumps); print(task(5))\n"
        "try: task.delay(5)\n"
        "except django.core.exceptions.ImproperlyConfigured as error: print(error)\n"
        "import apps.handoff.shared_tasks; print(type(task.app.loader).__module__)"
    )

    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], cwd=settings.BASE_DIR, capture_output=True, text=True
    )

    returned, refused, loader = result.stdout.splitlines()
    assert "task json.dumps cannot be handed off here: import apps.handoff.shared_tasks" in refused
    assert (returned, loader, result.stderr) == ("5", "celery.loaders.app", "")


def test_nobody_waits_for_a_result_at_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never arrive, also if a backend for results is set for other programs."""
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "cache+memory://")

    def wait() -> None:
        tasks.tell_id.AsyncResult("the-id").get(timeout=1)

    # Each thread has a backend of its own.
    with ThreadPoolExecutor() as pool, pytest.raises(NotImplementedError, match="No result"):
        pool.submit(wait).result()


def test_a_retry_with_other_arguments_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    tasks.retry_otherwise.delay()

    work_off()

    assert "with the same arguments and options only" in row().traceback


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (("path", "text"), {"eta": NAIVE}, "no time with a zone"),
        (("path", "text"), {"eta": "tomorrow"}, "no time with a zone"),
        (("path", "text"), {"priority": 40_000}, "no small whole number"),
        (("path", "text"), {"priority": "high"}, "no small whole number"),
        ("text", {}, "no list or tuple"),
        (("path",), {}, "missing a required argument: 'text'"),
        (("path", "text", 3), {}, "too many positional arguments"),
    ],
)
def test_a_call_that_cannot_work_is_refused(
    arguments: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        tasks.shared.apply_async(arguments, **options)
    assert not Handoff.objects.exists()


def test_a_queue_of_elsewhere_is_refused() -> None:
    with pytest.raises(QueueNotFound, match="'elsewhere'"):
        tasks.shared.apply_async(("path", "text"), queue=Queue("elsewhere"))


def test_an_argument_can_have_the_name_of_a_parameter() -> None:
    shared_tasks.hand_off(tasks.named, task="kept")
    assert row().loaded_arguments() == ([], {"task": "kept"})
    hand_off(tasks.echo_job, job="kept")
    assert Handoff.objects.latest("id").loaded_arguments() == ([], {"job": "kept"})


def test_a_route_sets_the_priority_and_nothing_that_would_be_ignored(
    settings: Settings, use_broker: Callable[[str], None]
) -> None:
    settings.CELERY_TASK_ROUTES = {
        tasks.shared.name: {"priority": 7},
        tasks.retry_in.name: {"expires": 60},
    }
    use_broker("memory://")
    from apps.handoff import celery_app  # noqa: F401

    tasks.shared.delay("path", "text")
    tasks.shared.apply_async(("path", "text"), priority=0)
    found = Handoff.objects.order_by("id").values_list("queue", "priority")
    assert list(found) == [("default", 7), ("default", 0)]
    with pytest.raises(TypeError, match="cannot be handed off with expires"):
        tasks.retry_in.delay("path", 1)


def test_a_task_may_ask_for_more_attempts_than_the_options_allow() -> None:
    tasks.retry_often.delay()

    assert work_off() == 13

    assert (row().status, row().error) == (Status.FAILED, "builtins.ValueError")


@pytest.mark.parametrize("options", [{"throw": False}, {"eta": NAIVE}])
def test_a_retry_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        tasks.shared.retry(**options)


def test_a_task_that_bypasses_the_outbox_stops_the_worker() -> None:
    from apps.handoff.celery_app import app

    def bypass() -> None:
        """Run without the outbox."""

    app.task(name="bypassing", base=CeleryTask, shared=False)(bypass)
    with pytest.raises(ImproperlyConfigured, match=r"bypassing needs app\.Task of"):
        work_off()


def test_a_retry_outside_of_a_worker_is_celerys_own(tmp_path: Path) -> None:
    with pytest.raises(Retry):
        tasks.retry_in(str(tmp_path / "notes"), 1)


def test_a_task_may_call_itself(notes: Callable[[], list[str]], tmp_path: Path) -> None:
    tasks.count_down.delay(str(tmp_path / "notes"), 2)

    assert work_off() == 1

    assert notes() == ["2 nobody 1", "1 nobody 1", "0 nobody 1"]
    assert row().status == Status.DONE
