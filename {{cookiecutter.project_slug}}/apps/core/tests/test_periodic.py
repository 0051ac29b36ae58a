"""Periodic jobs: the entries of PERIODIC, and the command for cron."""

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.tasks import task
from pytest_django import Settings

from apps.core.periodic import periodic_jobs

pytestmark = pytest.mark.django_db(transaction=True)

HOUR, DAY = 3600, 24 * 3600
ran: list[str] = []


@task
def hourly() -> None:
    ran.append("hourly")


@task
def daily() -> None:
    ran.append("daily")


@task
def broken() -> None:
    raise ValueError("broken")


@pytest.fixture(autouse=True)
def here(settings: Settings) -> None:
    """Run jobs in this process."""
    settings.TASKS = {"default": {"BACKEND": "apps.core.jobs.AfterCommitBackend"}}
    settings.PERIODIC = [(f"{__name__}.hourly", HOUR), (f"{__name__}.daily", DAY)]
    ran.clear()


def test_jobs_run_in_the_hours_of_their_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.time", lambda: 5 * DAY + 2 * HOUR + 60)
    call_command("periodic")
    assert capsys.readouterr().out == f"{__name__}.hourly: Successful\n"
    monkeypatch.setattr("time.time", lambda: 5 * DAY + 60)
    call_command("periodic")
    assert ran == ["hourly", "hourly", "daily"]


def test_a_job_that_fails_changes_the_exit_status_and_stops_no_other(settings: Settings) -> None:
    settings.PERIODIC = [(f"{__name__}.broken", HOUR), *settings.PERIODIC]
    with pytest.raises(CommandError, match="failed: 1"):
        call_command("periodic", "--all")
    assert ran == ["hourly", "daily"]


@pytest.mark.parametrize(
    "entry",
    [
        ("apps.core.tasks.nowhere", HOUR),
        ("apps.core.periodic.periodic_jobs", HOUR),
        (f"{__name__}.hourly",),
        (f"{__name__}.hourly", 0),
        (f"{__name__}.hourly", -1),
        (f"{__name__}.hourly", "daily"),
        f"{__name__}.hourly",
    ],
)
def test_a_mistake_in_the_list_is_refused_in_one_sentence(settings: Settings, entry: Any) -> None:
    settings.PERIODIC = [entry]
    (error,) = [check for check in run_checks() if check.id == "core.E001"]
    assert error.msg.startswith(f"PERIODIC has {entry!r}")


def test_the_jobs_of_the_project_can_be_run(settings: Settings) -> None:
    from config.settings import PERIODIC

    settings.PERIODIC = PERIODIC
    assert len(periodic_jobs()) == len(PERIODIC) > 0
