"""``manage.py handoff``: to look at jobs from the terminal, to tidy up and to be alerted."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from apps.handoff.models import Handoff, Status

from .rows import row

pytestmark = pytest.mark.django_db


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command and return what it says."""
    call_command("handoff", *arguments)
    return capsys.readouterr().out


def test_status_counts_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    row(Status.WAITING, timedelta(minutes=3, seconds=10))
    row(Status.FAILED, name="apps.orders.tasks.bill")
    lines = told(capsys, "status").splitlines()
    assert lines[0].split() == ["waiting", "sent", "running", "done", "failed", "job"]
    assert lines[1].split() == ["0", "0", "0", "0", "1", "apps.orders.tasks.bill"]
    assert lines[3].split() == ["1", "0", "0", "0", "1", "all"]
    assert "Longest wait for a worker: 0:03:10." in lines


def test_flush_deletes_what_was_done_long_ago(capsys: pytest.CaptureFixture[str]) -> None:
    row(Status.DONE, timedelta(days=8))
    kept = {row(Status.DONE, timedelta(days=6)), row(Status.FAILED, timedelta(days=8))}
    assert "Done jobs that were deleted: 1." in told(capsys, "flush")
    assert set(Handoff.objects.all()) == kept
    assert "Done jobs that were deleted: 1." in told(capsys, "flush", "--older-than", "2h")


def test_retry_lets_failed_jobs_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = row(Status.FAILED, name="one"), row(Status.FAILED, name="other")
    third, done = row(Status.FAILED, name="third"), row(Status.DONE, name="third")
    assert "Jobs that will run again: 1." in told(capsys, "retry", str(one.pk))
    assert set(Handoff.objects.failed()) == {other, third}
    assert "Jobs that will run again: 1." in told(capsys, "retry", "--job", "third")
    assert set(Handoff.objects.failed()) == {other}
    assert "Jobs that will run again: 1." in told(capsys, "retry", "--all")
    done.refresh_from_db()
    assert done.status == Status.DONE


def test_discard_deletes_failed_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    kept = row(Status.WAITING)
    row(Status.FAILED)
    assert "Deleted jobs, which will not run: 1." in told(capsys, "discard", "--all")
    assert set(Handoff.objects.all()) == {kept}
