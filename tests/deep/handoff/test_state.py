"""How long jobs wait for a worker, and what the health check says of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.handoff.models import LATE, Handoff, Status
from apps.handoff.relay import Relay, claim, publish

from ..rows import row
from ..test_state import health

pytestmark = pytest.mark.django_db

LONG = LATE + timedelta(minutes=1)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.DONE, Status.FAILED])
def test_a_job_that_a_worker_has_begun_does_not_wait(client: Client, status: Status) -> None:
    row(status, LONG)
    assert Handoff.objects.longest_wait() == timedelta()
    assert health(client) == (200, "ok", "ok")


def test_what_is_sent_again_has_waited_since_it_was_sent_first() -> None:
    row(Status.SENT, LONG, due_at=timezone.now() - timedelta(seconds=1))
    (job,) = claim("default", "default", 10)
    assert job.sends == 1
    assert Handoff.objects.longest_wait() >= LONG


def test_what_the_broker_does_not_take_has_waited_since_it_was_due(
    use_broker: Callable[[str], None],
) -> None:
    use_broker("redis://127.0.0.1:9/0")
    row(Status.WAITING, LONG)
    with pytest.raises(OperationalError):
        publish("default", claim("default", "default", 10), Relay().connection)
    assert Handoff.objects.longest_wait() >= LONG


def test_the_clock_of_the_web_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    row(Status.WAITING)
    row(Status.DONE)
    ahead = timezone.now() + timedelta(days=30)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    assert timedelta() < Handoff.objects.longest_wait() < LATE
    assert Handoff.objects.all().flush(timedelta(days=7)) == 0


def test_a_job_for_a_later_time_does_not_wait_yet() -> None:
    row(Status.WAITING, LONG, due_at=timezone.now() + timedelta(hours=1))
    assert Handoff.objects.longest_wait() == timedelta()


def test_jobs_for_the_address_of_a_user_are_forgotten_too() -> None:
    ada = User.objects.create_user("ada", "ada@example.org")
    mine = row(Status.DONE, arguments='[["Ada@Example.org", "localhost", true], {}]')
    others = [
        row(Status.DONE, arguments=f'[["{text}"], {{}}]')
        for text in ("grada@example.org", "ada@example.org.uk", "")
    ]
    config: Any = apps.get_app_config("handoff")
    assert [config.forget(ada.pk, "default") for _ in range(2)] == [1, 0]
    assert Handoff.objects.get(pk=mine.pk).arguments == "[[], {}]"
    kept = {each.pk: each.arguments for each in others}
    found = Handoff.objects.filter(pk__in=kept).values_list("pk", "arguments")
    assert dict(found) == kept
