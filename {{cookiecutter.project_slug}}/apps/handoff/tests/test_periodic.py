"""Each tick of a periodic job is handed off once, and the next run can be looked up."""

from datetime import datetime, timedelta

import pytest
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from django.utils.timezone import localtime
from pytest_django import Settings

from apps.handoff.models import Handoff, PeriodicJob, Status
from apps.handoff.periodic import hand_off_due
from apps.handoff.testing import work_off

from .rows import row

pytestmark = pytest.mark.django_db(transaction=True)

FLUSH = "apps.handoff.tasks.flush"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def hourly(settings: Settings) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    assert ticks() == 0, "it is due after its interval"


def ticks() -> int:
    return Handoff.objects.filter(name=FLUSH).count()


def next_at() -> datetime:
    return PeriodicJob.objects.get().next_at


def let_pass(time: timedelta) -> None:
    """Move the clock of the database forwards or backwards, as a periodic job sees it."""
    PeriodicJob.objects.update(next_at=F("next_at") - time)


@pytest.mark.parametrize("missed", [0, 1, 100])
def test_a_tick_is_handed_off_once_and_missed_ones_with_it(missed: int) -> None:
    let_pass((1 + missed) * HOUR)
    due = next_at()
    for _ in range(3):
        hand_off_due("default")
    assert ticks() == 1
    assert next_at() == due + (1 + missed) * HOUR


def test_the_next_run_is_told(admin_client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("handoff", "status")
    told = f"Next run of {FLUSH}: {localtime(next_at()):%Y-%m-%d %H:%M:%S %Z}."
    assert capsys.readouterr().out.splitlines()[-1] == told
    assert FLUSH in admin_client.get("/admin/handoff/periodicjob/").text


def test_finished_rows_are_flushed() -> None:
    row(Status.DONE, timedelta(days=8))
    kept = row(Status.DONE, timedelta(days=6))
    let_pass(HOUR)
    hand_off_due("default")
    work_off()
    assert set(Handoff.objects.exclude(name=FLUSH)) == {kept}
