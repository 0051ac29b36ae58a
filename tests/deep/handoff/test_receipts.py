"""The writes of a job are committed together with its receipt, once, or not at all."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.models.functions import Now
from django.tasks import Task, task_backends
from django.tasks.signals import task_finished
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from apps.handoff import limits, worker
from apps.handoff.limits import limited
from apps.handoff.models import Handoff, HandoffQuerySet, Status
from apps.handoff.receipts import ACCURACY, Run, SupersededError
from apps.handoff.relay import Relay, claim, is_due
from apps.handoff.testing import work_off

from ..test_receipts import broker, running, users
from . import tasks

type Notes = Callable[[], list[str]]

pytestmark = pytest.mark.django_db(transaction=True)


class KilledError(Exception):
    """Ends a transaction as the death of its process does."""


def test_an_effect_of_a_job_that_fails_for_good_is_undone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks.write_and_fail.enqueue(times=99)

    assert work_off() == 9

    row = Handoff.objects.get()
    assert (row.status, row.attempts, row.due_at) == (Status.FAILED, 9, None)
    assert row.failed_at is not None
    assert row.error == "builtins.ValueError"
    assert row.traceback.rstrip().endswith("ValueError: after the write")
    assert users() == []
    assert "manage.py handoff retry" in caplog.text


def test_a_transaction_of_the_job_is_undone_with_it() -> None:
    tasks.commit_and_fail.enqueue()

    work_off()

    assert users() == []
    assert Handoff.objects.get().status == Status.FAILED


@pytest.mark.parametrize(
    "job", [tasks.close_the_connection, tasks.roll_back, tasks.leave_a_transaction_open]
)
def test_a_job_that_spoils_its_transaction_fails_and_leaves_nothing(
    job: Task, settings: Settings
) -> None:
    settings.TASKS = {
        **settings.TASKS,
        "default": settings.TASKS["default"] | {"OPTIONS": {"RETRIES": 0}},
    }
    job.enqueue()

    work_off()

    assert Handoff.objects.get().status == Status.FAILED
    assert users() == []


def test_a_job_that_ignores_an_error_of_postgresql_fails() -> None:
    """PostgreSQL answers the COMMIT of such a transaction with a rollback, without an error."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite goes on after an error.")
    tasks.ignore_an_error_of_the_database.enqueue()

    assert work_off() == 9

    assert users() == []
    row = Handoff.objects.get()
    assert row.status == Status.FAILED
    assert "The job ended its transaction" in row.traceback


def test_only_the_commit_follows_a_job(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    """A kill before the commit repeats effects outside of the database."""
    run, _ = running(tasks.add, 1, 2)

    with run.in_transaction(), django_assert_num_queries(0):
        run.finish(None, has_receipt=True)

    row = Handoff.objects.get()
    assert (row.status, row.due_at, row.sent_at) == (Status.DONE, None, None)
    assert row.finished_at is not None


def test_a_long_job_has_the_time_of_its_end() -> None:
    run, _ = running(tasks.add, 1, 2)
    start = timezone.now() - ACCURACY
    with run.in_transaction():
        Handoff.objects.update(finished_at=start)
        run.row.last_attempted_at = start
        run.finish(None, has_receipt=True)

    last = Handoff.objects.get().finished_at
    assert last is not None
    assert last > start


def test_what_fails_after_the_commit_does_not_repeat_the_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks.fail_after_the_commit.enqueue()

    assert work_off() == 1

    assert users() == ["written before"]
    assert Handoff.objects.get().status == Status.DONE
    assert "was done before this error" in caplog.text


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_callback_after_the_commit_may_take_long(*, is_failing: bool) -> None:
    """The connection is cut if a commit takes long, but a callback is no part of it."""
    run, _ = running(tasks.add, 1, 2)
    watched = []

    def note_watch(**kwargs: Any) -> None:
        watched.append(dict(limits._watched))

    if is_failing:
        task_finished.connect(note_watch)
        with limited("default"):
            run.fail(ValueError("for good"), for_good=True)
        task_finished.disconnect(note_watch)
    else:
        with run.in_transaction():
            transaction.on_commit(note_watch)
            run.finish(None, has_receipt=True)

    assert watched == [{}]


def test_a_job_that_waits_is_not_started_by_an_old_message() -> None:
    run, _ = running(tasks.add, 1, 2)
    run.fail(ValueError("once"))

    assert not run.start("another")  # it waits
    claim("default", "default", 1)
    again = Run.of("default", str(run.row.pk))
    assert again is not None
    assert again.start("another")
    assert Handoff.objects.get().attempts == 2


def test_a_process_that_was_taken_for_dead_commits_nothing() -> None:
    slow, _ = running(tasks.add, 1, 2)
    Handoff.objects.update(due_at=Now())
    assert len(claim("default", "default", 1)) == 1
    quick = Run.of("default", str(slow.row.pk))
    assert quick is not None
    assert quick.start("another")

    with pytest.raises(SupersededError), slow.in_transaction():
        tasks.write("too late")
    with pytest.raises(SupersededError):
        slow.finish(None)
    with pytest.raises(SupersededError):
        slow.fail(ValueError("too late"))

    assert users() == []
    quick.finish(None)
    assert Handoff.objects.get().worker == "another"


@pytest.mark.parametrize(
    ("text", "kept"), [("nul: \0", "nul: \ufffd"), ("half: \ud800", "half: ?")]
)
def test_an_error_can_be_kept_whatever_its_text(text: str, kept: str) -> None:
    run, _ = running(tasks.add, 1, 2)

    run.fail(ValueError(text))

    assert kept in Handoff.objects.get().traceback


def test_pauses_double_and_differ(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"BACKOFF": 5.0, "RETRIES": 9999}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    running(tasks.add, 1, 2)

    for attempt, longest in [(1, 5), (2, 10), (8, 640), (20, 900), (2000, 900)]:
        pauses = set()
        for _ in range(10):
            Handoff.objects.update(status=Status.RUNNING, attempts=attempt)
            pauses.add(Run("default", Handoff.objects.get()).fail(ValueError()))
        assert all(pause is not None and longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1


def test_a_job_in_autocommit_is_not_sent_again_while_it_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"LEASE": 0.3}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    run, _ = running(tasks.add, 1, 2)
    due = Handoff.objects.get().due_at

    with run.with_heartbeat():
        for _ in range(200):
            later = Handoff.objects.get().due_at
            if later != due:
                break
            Event().wait(0.02)

    assert due is not None
    assert later is not None
    assert later > due


def test_a_connection_that_was_ended_meanwhile_does_not_repeat_a_long_job() -> None:
    """Servers and poolers end connections that are idle for long."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server that could end a connection.")
    run, _ = running(tasks.add, 1, 2)
    with run.with_heartbeat():
        with connection.cursor() as cursor, suppress(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        connection.errors_occurred = False  # the connection was idle
        run.finish(None)

    assert Handoff.objects.get().status == Status.DONE


def test_a_heartbeat_that_fails_is_not_the_last_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"LEASE": 0.3}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    run, _ = running(tasks.add, 1, 2)
    due = later = Handoff.objects.get().due_at
    failures = [OperationalError("the connection is lost")]
    rows = Run.rows

    def fail_once(self: Run, *status: str) -> HandoffQuerySet:
        if failures:
            raise failures.pop()
        return rows(self, *status)

    monkeypatch.setattr(Run, "rows", fail_once)
    with run.with_heartbeat():
        for _ in range(200):
            later = Handoff.objects.get().due_at
            if later != due:
                break
            Event().wait(0.02)

    assert later != due
    assert f"The heartbeat of the job {run.row.pk} failed" in caplog.text


def test_a_running_job_is_locked_against_the_relay() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks the whole database while a job writes.")
    run, _ = running(tasks.add, 1, 2)
    Handoff.objects.update(due_at=Now())
    found: list[Any] = []

    def look() -> None:
        found.append(is_due("default"))
        found.append(claim("default", "default", 1))
        connections.close_all()

    with run.in_transaction():
        thread = Thread(target=look)
        thread.start()
        thread.join()
        run.finish(None, has_receipt=True)

    assert found == [False, []]
    assert Handoff.objects.get().status == Status.DONE


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Return the one relay of a worker."""
    relay = Relay()
    monkeypatch.setattr(worker, "relays", [relay])
    return relay


def in_a_thread(function: Callable[[], object]) -> None:
    """Call a function with another connection to the database."""

    def call() -> None:
        function()
        connection.close()

    thread = Thread(target=call)
    thread.start()
    thread.join()


def test_a_killed_process_whose_query_still_runs_holds_nobody_up(relay: Relay) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no process of its own that could go on.")

    run, _ = running(tasks.add, 1, 2)
    error, message = TimeLimitExceeded(3), {"handoff": ["default", str(run.row.pk)]}

    with suppress(KilledError), run.in_transaction():
        worker.end_attempt(message, "elsewhere", error)
        in_a_thread(relay.write_ends)
        assert len(relay.ended) == 1
        raise KilledError

    in_a_thread(relay.write_ends)
    assert not relay.ended
    again = Handoff.objects.get()
    assert (again.status, again.attempts) == (Status.WAITING, 1)
    assert again.error.endswith("TimeLimitExceeded")


def test_the_lock_of_a_killed_process_is_waited_for_no_longer_than_its_lease(
    settings: Settings, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no process of its own that could go on.")

    options = {"LEASE": 0.1}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    run, _ = running(tasks.add, 1, 2)
    message = {"handoff": ["default", str(run.row.pk)]}

    with suppress(KilledError), run.in_transaction():
        worker.end_attempt(message, "elsewhere", WorkerLostError("killed"))
        time.sleep(0.2)
        in_a_thread(relay.write_ends)
        assert not relay.ended
        raise KilledError

    assert Handoff.objects.get().status == Status.RUNNING
    assert f"The job {run.row.pk} will be sent again when its time is over" in caplog.text


def test_postgresql_notices_soon_that_a_process_or_its_machine_is_gone() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no process of its own that could go on.")
    import apps.handoff.worker

    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SHOW client_connection_check_interval")
        assert cursor.fetchone() == ("2s",)
        cursor.execute("SHOW tcp_keepalives_idle")
        assert cursor.fetchone() == ("30",)


def test_a_failure_is_logged_with_the_call_and_what_to_do(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    tasks.fail.enqueue(str(tmp_path / "notes"), times=99)

    work_off()

    errors = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert [entry.name for entry in errors] == ["apps.handoff.receipts", "django.tasks"]
    sentence = errors[0].getMessage()
    assert "tasks.fail(" in sentence
    assert "times=99" in sentence
    assert "failed in attempt 9 with ValueError: wrong in attempt 9" in sentence
    call_command(*sentence.partition("manage.py ")[2].split())  # what the line tells people to type
    assert Handoff.objects.get().status == Status.WAITING


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("exit", "builtins.SystemExit"),
        ("generator", "builtins.GeneratorExit"),
        ("cancelled", "asyncio.exceptions.CancelledError"),
    ],
)
def test_an_unusual_end_of_a_job_is_a_failure(kind: str, error: str) -> None:
    tasks.end.enqueue(kind)

    assert work_off() == 9

    row = Handoff.objects.get()
    assert (row.status, row.error) == (Status.FAILED, error)
    assert row.traceback.rstrip().endswith("why")


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (tasks.fail_together, "ExceptionGroup: both failed (2 sub-exceptions)\na note and"),
        (tasks.fail_untold, "UntoldError: <exception str() failed> and"),
    ],
)
def test_a_failure_is_logged_whatever_the_error(
    job: Task, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    job.enqueue()

    assert work_off() == 9

    assert Handoff.objects.get().status == Status.FAILED
    assert f"{told} is not tried again" in caplog.text
    assert not [entry for entry in caplog.records if "unexpected" in entry.getMessage()]


def test_a_failure_with_a_long_text_makes_no_long_line(caplog: pytest.LogCaptureFixture) -> None:
    tasks.fail_at_length.enqueue("x" * 900_000)

    work_off()

    assert max(len(entry.getMessage()) for entry in caplog.records) < 50_000
    row = Handoff.objects.get()
    assert row.status == Status.FAILED
    assert len(row.traceback) < 50_000


def test_a_job_has_its_own_options(settings: Settings, notes: Notes) -> None:
    path = tasks.fail_at_length.module_path
    of_celery = tasks.shared.name
    jobs = {path: {"RETRIES": 1, "TIME_LIMIT": 7}, of_celery: {"TIME_LIMIT": 8}}
    options = {"BACKOFF": 0, "JOBS": jobs}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    tasks.fail_at_length.enqueue("short")

    assert work_off() == 2

    assert Handoff.objects.get().status == Status.FAILED
    from apps.handoff.celery_app import app

    assert app.tasks[path].time_limit == 7
    assert app.tasks[of_celery].time_limit == 8
    assert app.tasks[tasks.add.module_path].time_limit is None


@pytest.mark.parametrize(
    "options",
    [
        {"RETRIES": "3"},
        {"RETRIES": -1},
        {"BACKOFF": None},
        {"TIME_LIMIT": 0},
        {"TIME_LIMIT": "60"},
        {"TIME_LIMIT": math.inf},
        {"LEASE": 0},
        {"AUTOCOMMIT": "apps.orders.tasks.send"},
        {"JOBS": ["apps.orders.tasks.send"]},
        {"JOBS": {"apps.orders.tasks.send": 3}},
        {"JOBS": {"apps.orders.tasks.send": {"RETRIES": "3"}}},
        {"DATABASE": "nowhere"},
    ],
)
def test_an_option_of_a_wrong_kind_is_refused(options: Any, settings: Settings) -> None:
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    (error,) = task_backends["default"].check()
    assert "['OPTIONS'] cannot have" in error.msg


def test_an_option_that_a_job_cannot_have_is_refused(settings: Settings) -> None:
    options = {"JOBS": {tasks.add.module_path: {"LEASE": 1}}}
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"OPTIONS": options}}
    (error,) = task_backends["default"].check()
    assert error.msg == "TASKS['default']['OPTIONS'] cannot have LEASE = 1."
    assert error.hint == (
        "There are RETRIES, BACKOFF, TIME_LIMIT, LEASE, AUTOCOMMIT, JOBS, DATABASE; for one job"
        " RETRIES, BACKOFF, TIME_LIMIT."
    )


def test_what_failed_can_be_sent_again() -> None:
    tasks.write_and_fail.enqueue(times=99)
    work_off()

    assert Handoff.objects.all().send_again() == 1
    row = Handoff.objects.due().get()
    assert (row.status, row.attempts, row.failed_at) == (Status.WAITING, 0, None)
