"""``manage.py handoff``: to look at jobs from the terminal, to tidy up and to be alerted."""

import sqlite3
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from apps.handoff.models import Handoff, Status

from ..rows import row
from ..test_command import told

pytestmark = pytest.mark.django_db


def test_status_of_an_empty_outbox(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "status").splitlines()
    assert lines[1].split() == ["0", "0", "0", "0", "0", "all"]
    assert "Longest wait for a worker: 0:00:00." in lines
    assert "Next run of apps.handoff.tasks.flush: known when a relay runs." in lines


def test_status_tells_a_job_that_is_not_due_from_one_that_waits_for_a_worker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row(Status.WAITING, -timedelta(minutes=5))
    assert "Longest wait for a worker: 0:00:00." in told(capsys, "status")
    row(Status.WAITING, timedelta(minutes=2))
    assert "Longest wait for a worker: 0:02:0" in told(capsys, "status")


@pytest.mark.parametrize(
    ("limit", "fault"),
    [
        (["--fail-if-older-than", "1m"], "A job has waited for 0:02:0"),
        (["--fail-if-older-than", "3m"], None),
        (["--fail-if-failed"], "Jobs that failed: 1."),
        ([], None),
    ],
)
def test_a_limit_that_is_passed_is_an_exit_status(
    capsys: pytest.CaptureFixture[str], limit: list[str], fault: str | None
) -> None:
    row(Status.SENT, timedelta(minutes=2))
    row(Status.FAILED)
    if fault is None:
        assert "all" in told(capsys, "status", *limit)
        return
    with pytest.raises(CommandError, match=fault) as caught:
        told(capsys, "status", *limit)
    assert caught.value.returncode == 1
    # The table is printed all the same.
    assert "all" in capsys.readouterr().out


def test_discard_of_nothing_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Deleted jobs, which will not run: 0." in told(capsys, "discard", "--all")


def test_discard_deletes_more_jobs_than_a_statement_has_parameters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("Only SQLite has a limit that a table can come to.")
    for _ in range(3):
        row(Status.FAILED)
    limit = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 4)
    try:
        assert "Deleted jobs, which will not run: 3." in told(capsys, "discard", "--all")
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, limit)
    assert not Handoff.objects.exists()


@pytest.mark.parametrize("arguments", [[], ["--all", "--job", "one"]])
def test_which_jobs_are_meant_has_to_be_said(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="Name the ids of jobs, or --job"):
        call_command("handoff", "retry", *arguments)


def test_a_job_that_has_not_failed_cannot_be_retried() -> None:
    for key in (row(Status.DONE).pk, uuid4()):
        with pytest.raises(CommandError, match=f"No such job has the id {key}"):
            call_command("handoff", "retry", str(key))


@pytest.mark.parametrize("text", ["5", "5 m", "-5m", "m", "5w", ""])
def test_a_duration_has_a_unit(text: str) -> None:
    with pytest.raises(CommandError, match="is no duration: write a number and s, m, h or d"):
        call_command("handoff", "flush", f"--older-than={text}")


def test_jobs_that_have_not_begun_are_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    waiting, sent = row(Status.WAITING), row(Status.SENT, name="sent")
    kept = {row(Status.RUNNING), row(Status.DONE), row(Status.FAILED)}
    assert "Deleted jobs, which will not run: 1." in told(capsys, "cancel", "--job", "sent")
    assert not Handoff.objects.filter(pk=sent.pk).exists()
    assert "Deleted jobs, which will not run: 1." in told(capsys, "cancel", str(waiting.pk))
    assert set(Handoff.objects.all()) == kept
    with pytest.raises(CommandError, match="No such job"):
        told(capsys, "cancel", str(waiting.pk))


@pytest.mark.parametrize("status", [Status.WAITING, Status.SENT])
def test_health_fails_when_jobs_wait_and_none_runs(
    capsys: pytest.CaptureFixture[str], status: Status
) -> None:
    row(status, timedelta(minutes=1))
    assert "Jobs are being run, or none waits." in told(capsys, "health")
    row(status, timedelta(minutes=10))
    with pytest.raises(CommandError, match="none is running"):
        told(capsys, "health")
    row(Status.RUNNING, sent_at=timezone.now())
    assert "Jobs are being run" in told(capsys, "health")
