"""Figures for Prometheus: from a command, and from a page that a token opens."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.handoff.models import Status

from .rows import row

pytestmark = pytest.mark.django_db

SEND = 'database="default",queue="default",job="apps.orders.tasks.send"'
TOKEN = "a-token"


def test_jobs_are_counted_by_queue_job_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    row(Status.SENT, timedelta(minutes=2))
    for _ in range(5):
        row(Status.DONE, timedelta(minutes=1))
    call_command("handoff", "figures")
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "# TYPE handoff_jobs gauge",
        "handoff_jobs{" + SEND + ',status="sent"} 1',
        "handoff_per_minute{" + SEND + ',status="done"} 1.0',
    ):
        assert line in lines


def test_the_page_is_there_for_who_sends_the_token(
    client: Client, admin_client: Client, settings: Settings
) -> None:
    url = reverse("handoff:figures")
    settings.HANDOFF_FIGURES_TOKEN = ""
    assert client.get(url, headers={"Authorization": "Bearer "}).status_code == 404
    settings.HANDOFF_FIGURES_TOKEN = TOKEN
    assert admin_client.get(url).status_code == 403
    assert client.get(url, headers={"Authorization": "Bearer other"}).status_code == 403
    answer = client.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.text.startswith("# TYPE handoff_jobs gauge")
