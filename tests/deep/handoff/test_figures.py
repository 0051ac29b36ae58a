"""Figures for Prometheus: how counts, waits and rates are written."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from apps.handoff.models import Status

from ..rows import row

pytestmark = pytest.mark.django_db

SEND = 'database="default",queue="default",job="apps.orders.tasks.send"'


def test_counts_waits_and_rates_are_told_by_queue_and_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row(Status.SENT, timedelta(minutes=2))
    row(Status.WAITING, timedelta(minutes=1))
    for _ in range(5):
        row(Status.DONE, timedelta(minutes=1))
    row(Status.DONE, timedelta(hours=1))
    row(Status.FAILED, queue='the "slow"\n\\ träge\t', name="other")
    call_command("handoff", "figures")
    lines = capsys.readouterr().out.splitlines()
    # Backslash, quote and newline are escaped, and nothing else.
    other = r'database="default",queue="the \"slow\"\n\\ träge' + '\t",job="other"'
    for line in (
        "# TYPE handoff_jobs gauge",
        "handoff_jobs{" + SEND + ',status="sent"} 1',
        "handoff_jobs{" + SEND + ',status="done"} 6',
        "handoff_per_minute{" + SEND + ',status="done"} 1.0',
        "handoff_per_minute{" + other + ',status="failed"} 0.2',
        "handoff_oldest_seconds{" + other + "} 0.0",
    ):
        assert line in lines
    (oldest,) = [line for line in lines if line.startswith("handoff_oldest_seconds{" + SEND)]
    assert float(oldest.split()[1]) >= 120
