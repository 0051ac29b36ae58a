"""How long jobs wait for a worker, and what the health check says of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from apps.handoff.models import LATE, Handoff, Status

from .rows import row

pytestmark = pytest.mark.django_db

LONG = LATE + timedelta(minutes=1)


def health(client: Client) -> tuple[int, str, str]:
    answer = client.get("/health/")
    return answer.status_code, answer.json()["status"], answer.json()["handoff"]


def test_an_empty_outbox_is_healthy(client: Client) -> None:
    assert Handoff.objects.longest_wait() == timedelta()
    assert health(client) == (200, "ok", "ok")


@pytest.mark.parametrize("status", [Status.WAITING, Status.SENT])
def test_a_job_that_no_worker_begins_degrades_the_health(client: Client, status: Status) -> None:
    row(status)
    assert health(client) == (200, "ok", "ok")
    row(status, LONG)
    assert health(client) == (200, "degraded", "degraded")
    assert Handoff.objects.longest_wait() >= LONG


def test_a_user_is_forgotten_in_jobs_that_are_finished() -> None:
    personal: dict[str, Any] = {
        "actor": "5",
        "arguments": '[["ada@x.org"], {}]',
        "traceback": "ada",
    }
    keys = [row(status, **personal).pk for status in (Status.DONE, Status.FAILED, Status.WAITING)]
    other = row(Status.DONE, **personal | {"actor": "55"})
    config: Any = apps.get_app_config("handoff")
    assert [config.forget(5, "default") for _ in range(2)] == [2, 0]
    done, failed, waiting = (Handoff.objects.get(pk=key) for key in keys)
    assert (done.arguments, done.traceback, failed.traceback) == ("[[], {}]", "", "")
    assert (failed.arguments, waiting.arguments) == (personal["arguments"],) * 2
    other.refresh_from_db()
    assert other.traceback == waiting.traceback == "ada"
