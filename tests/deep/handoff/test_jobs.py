"""A worker runs a job. Here Celery's own tracer does so in the process of the test."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery.app.utils import find_app
from celery.exceptions import Ignore, TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, task_revoked, task_unknown
from django.db import OperationalError
from kombu import Message
from pytest_django import Settings

from apps.accounts.models import User
from apps.core.actor import acting_as, current_request_id, current_source
from apps.handoff import shared_tasks, worker
from apps.handoff.backend import declared_jobs, outboxes
from apps.handoff.models import Handoff, Status, time_ordered_id
from apps.handoff.relay import Relay, claim
from apps.handoff.testing import work_off

from ..test_jobs import heard, run
from . import tasks

type Notes = Callable[[], list[str]]
type Run = Callable[..., list[str]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def celery_tasks(notes: Notes) -> Any:
    """Return Celery's tasks by their names."""
    from apps.handoff.celery_app import app

    worker.register_jobs()
    return app.tasks


def test_every_declared_job_has_a_celery_task_that_the_outbox_looks_after(
    celery_tasks: Any,
) -> None:
    assert set(declared_jobs) <= set(celery_tasks)
    for name in declared_jobs:
        assert celery_tasks[name].acks_late
        assert not celery_tasks[name].reject_on_worker_lost


def test_a_job_knows_its_source_and_its_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def look(*args: Any) -> None:
        seen.append((current_source(), current_request_id()))

    monkeypatch.setattr("apps.handoff.tests.example.tasks.note", look)
    run(tasks.record, "text")

    assert seen == [("job", "the-request")]


def test_a_coroutine_runs(run: Run) -> None:
    assert run(tasks.record_later, "text") == ["text nobody 1"]


@pytest.mark.django_db(transaction=True)
def test_the_signals_tell_of_a_failure_for_good(run: Run, heard: list[tuple[str, int]]) -> None:
    assert run(tasks.fail, times=99) == []

    assert heard[-2:] == [("RUNNING", 9), ("FAILED", 9)]


def test_a_job_that_returns_no_json_is_done(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tasks.return_what_is_no_json) == ["no json nobody 1"]

    assert Handoff.objects.get().status == Status.DONE
    assert "is no JSON and not kept" in caplog.text


def test_a_job_that_returns_what_contains_itself_is_done(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(tasks.return_what_contains_itself) == ["a circle nobody 1"]

    assert Handoff.objects.get().status == Status.DONE
    assert "is no JSON and not kept" in caplog.text


@pytest.mark.parametrize(
    "value", [{"__type__": "bytes", "__value__": "x"}, {"__type__": "?", "__value__": 1}]
)
def test_arguments_arrive_as_they_were_handed_off(
    value: dict[str, str], relay: Relay, celery_tasks: Any
) -> None:
    """Whatever the message has them in: kombu's JSON knows types, and fails on unknown ones."""
    tasks.echo.enqueue({"value": value})
    assert relay.send_due()

    task = celery_tasks[tasks.echo.module_path]
    with task.app.connection_for_read() as connection:
        message = task.app.amqp.queues["default"](connection.default_channel).get()
    args, kwargs, _ = message.decode()
    task.apply(args, kwargs, task_id=message.headers["id"], headers=message.headers)

    assert json.loads(Handoff.objects.get().return_value) == {"value": value}


def test_a_task_of_celery_may_ask_for_another_attempt(notes: Notes, tmp_path: Path) -> None:
    shared_tasks.hand_off(tasks.retry_shared, str(tmp_path / "notes"))

    work_off()

    assert notes() == ["retried nobody 3"]
    row = Handoff.objects.get()
    assert (row.status, row.attempts) == (Status.DONE, 3)


def test_a_task_of_celery_that_was_not_handed_off_is_like_any_other(
    notes: Notes, celery_tasks: Any, tmp_path: Path
) -> None:
    celery_tasks[tasks.shared.name].apply([str(tmp_path / "notes"), "sent"])
    tasks.shared(str(tmp_path / "notes"), "called")

    assert notes() == ["sent nobody 1", "called nobody 1"]
    assert not Handoff.objects.exists()


def delivered(celery_tasks: Any, task: str, message: Any) -> Any:
    """Deliver a message for a task, and return the result."""
    key = str(time_ordered_id())
    return celery_tasks[task].apply(task_id=key, headers={"handoff": message}).result


@pytest.mark.parametrize(
    "message",
    [
        ["default", str(time_ordered_id())],
        ["default", "nonsense"],
        ["nowhere", "x"],
        5,
        {"a": 1},
        ["__class__", "x"],
        ["default", 5],
        [[], {}],
    ],
)
def test_a_message_without_a_row_is_refused_and_mentioned(
    celery_tasks: Any, message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(delivered(celery_tasks, tasks.add.module_path, message), Ignore)
    (line,) = [entry for entry in caplog.records if entry.name == worker.__name__]
    assert (line.levelname, "another CELERY_QUEUE_PREFIX" in line.getMessage()) == ("WARNING", True)


def test_a_worker_keeps_its_messages_while_the_database_is_away(
    celery_tasks: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a pause it would throw away thousands in the seconds of a restart."""

    def refuse(*args: Any) -> None:
        raise OperationalError("the database system is starting up")

    pauses: list[float] = []
    monkeypatch.setattr("apps.handoff.worker.Run.of", refuse)
    monkeypatch.setattr("apps.handoff.worker.time.sleep", pauses.append)

    message = ["default", str(time_ordered_id())]
    assert isinstance(delivered(celery_tasks, tasks.add.module_path, message), Ignore)
    assert "could not be started (the database system is starting up)" in caplog.text
    assert pauses == [worker.PAUSE]


def test_a_forged_message_runs_nothing_but_what_the_row_says(
    celery_tasks: Any, notes: Notes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks.record.enqueue(str(tmp_path / "notes"), "from the row")
    (row,) = claim("default", "default")

    message = ["default", str(row.pk)]
    assert isinstance(delivered(celery_tasks, tasks.add.module_path, message), Ignore)
    assert "belongs to no job" in caplog.text
    assert Handoff.objects.get().status == Status.SENT

    task = celery_tasks[tasks.record.module_path]
    headers = {"handoff": message, "actor": "1"}
    task.apply(["elsewhere", "forged"], task_id=str(row.pk), headers=headers)
    assert notes() == ["from the row nobody 1"]


def test_nothing_of_a_message_but_its_key_is_read(celery_tasks: Any) -> None:
    """Celery runs functions that a message names after a failure, and kills after its limit."""
    name = tasks.record.module_path
    other = {"task": tasks.shared.name, "args": ["path", "forged"], "immutable": True}
    key = ["default", str(time_ordered_id())]
    headers: Any = {"id": "the-id", "task": name, "handoff": key}
    more = {"timelimit": [1, 1], "expires": "2020-01-01T00:00:00", "eta": "2099-01-01T00:00:00"}
    body = [["forged"], {"text": "forged"}, {"errbacks": [other], "chain": [other]}]
    message = Message(
        body=json.dumps(body), content_type="application/json", headers=headers | more
    )

    task = celery_tasks[name]
    request = task.Request(message, app=task.app, body=message.body, headers=message.headers)

    assert request.body == ((), {}, {})
    assert (request.time_limits, request.eta, request.expires) == ((None, None), None, None)
    assert request.request_dict["handoff"] == key


def test_a_message_that_was_sent_without_the_outbox_is_refused_and_mentioned(
    celery_tasks: Any, notes: Notes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As ``celery call`` sends it."""
    task, path = celery_tasks[tasks.shared.name], str(tmp_path / "notes")
    task.push_request(id="the-id", args=[path, "called"], kwargs={}, called_directly=False)
    with pytest.raises(Ignore):
        task(path, "called")
    task.pop_request()

    assert notes() == []
    (line,) = [entry for entry in caplog.records if entry.name == worker.__name__]
    assert line.levelname == "WARNING"
    assert f"The message the-id for {tasks.shared.name}" in line.getMessage()
    assert "hand jobs off with enqueue or delay" in line.getMessage()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what is said to have ended from outside of its process."""
    calls: list[Any] = []
    monkeypatch.setattr(worker, "end_attempt", lambda *args, **more: calls.append((*args, more)))
    return calls


def test_a_death_is_reported_once(celery_tasks: Any, ended: list[Any]) -> None:
    task = celery_tasks[tasks.record.module_path]
    task.push_request(id="the-id", args=["path", "text"], kwargs={}, headers={"handoff": {}})
    try:
        raise TimeLimitExceeded(1)
    except TimeLimitExceeded as error:
        told = {"sender": task, "exception": error, "einfo": ExceptionInfo()}

    # As Celery does it: first with the job, then without.
    task_failure.send(**told)
    task.pop_request()
    task_failure.send(**told)

    assert ended == [({"handoff": {}}, None, told["exception"], {})]


def test_a_failure_of_the_job_itself_is_not_reported_from_outside(
    celery_tasks: Any, ended: list[Any]
) -> None:
    task = celery_tasks[tasks.record.module_path]
    task.push_request(id="the-id", args=[], kwargs={}, headers={"handoff": {}})
    task_failure.send(sender=task, exception=ValueError())
    task_failure.send(sender=task, exception=WorkerLostError())
    task.pop_request()

    assert [type(call[2]) for call in ended] == [WorkerLostError]


def test_a_job_that_was_revoked_or_is_unknown_is_reported(
    celery_tasks: Any, ended: list[Any]
) -> None:
    class Unknown:
        headers: dict[str, Any] = {"handoff": {}}

    request = type("Request", (), {"hostname": "here", "headers": {"handoff": {}}})
    task_revoked.send(sender=None, request=request, terminated=True, signum=9, expired=False)
    task_unknown.send(sender=request, message=Unknown, exc=None, name="apps.gone", id="the-id")

    assert [(call[1], str(call[2]), call[3]) for call in ended] == [
        ("here", "revoked", {"for_good": True}),
        ("here", "'apps.gone'", {}),
    ]


def test_work_that_was_not_handed_off_ends_without_a_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay = Relay()
    monkeypatch.setattr(worker, "relays", [relay])
    worker.end_attempt(None, "here", ValueError())
    worker.end_attempt({"handoff": ["__class__", "x"]}, "here", ValueError())
    assert not relay.ended


def test_the_worker_starts_one_relay_for_each_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Relay] = []
    monkeypatch.setattr(Relay, "start", lambda relay: started.append(relay))
    monkeypatch.setattr(worker, "relays", [])
    worker.start_relays()
    worker.start_relays()
    assert [relay.alias for relay in started] == outboxes()


def test_settings_of_the_project_win_and_options_of_the_broker_add_up(
    celery_tasks: Any, settings: Settings
) -> None:
    settings.CELERY_WORKER_CONCURRENCY = 3
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 7200}
    celery_settings = sys.modules["apps.handoff.celery_app"].celery_settings()

    assert celery_settings["worker_concurrency"] == 3
    options = celery_settings["broker_transport_options"]
    assert options["visibility_timeout"] == 7200
    assert options["max_retries"] == 0


def test_names_at_the_broker_begin_with_the_prefix(celery_tasks: Any, settings: Settings) -> None:
    """Two projects may use the same server."""
    settings.CELERY_QUEUE_PREFIX = "My / shop."
    celery_settings = sys.modules["apps.handoff.celery_app"].celery_settings()

    names = [queue.name for queue in celery_settings["task_queues"]]
    assert "My-shop.default" in names
    names += [celery_settings["control_exchange"], celery_settings["event_exchange"]]
    assert all(name.startswith("My-shop.") for name in names)


def test_django_starts_without_loading_celery(settings: Settings) -> None:
    program = (
        "import django, sys; django.setup(); from django.core.checks import run_checks;"
        " assert not run_checks(); print(*{'celery', 'django.tasks', 'kombu'} & set(sys.modules))"
    )

    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], cwd=settings.BASE_DIR, capture_output=True, text=True
    )

    assert (result.stdout.strip(), result.stderr) == ("django.tasks", "")


def test_a_worker_knows_every_job(notes: Notes) -> None:
    app = find_app("apps.handoff")  # celery -A apps.handoff
    app.loader.import_default_modules()

    assert set(declared_jobs) <= set(app.tasks)


def test_a_job_of_nobody_or_of_a_deleted_user_runs_as_nobody(
    run: Run, notes: Notes, tmp_path: Path
) -> None:
    assert run(tasks.record, "text") == ["text nobody 1"]

    gone = User.objects.create_user("gone")
    with acting_as(gone):
        tasks.record.enqueue(str(tmp_path / "notes"), "gone")
    gone.delete()
    work_off()
    assert notes()[1:] == ["gone nobody 1"]
