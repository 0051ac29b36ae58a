"""The relay sends every job once, and again when the message had no effect."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.handoff.models import Handoff, Status
from apps.handoff.relay import Relay

from .conftest import Message
from .example.tasks import add

type Sent = Callable[[], list[Message]]

pytestmark = pytest.mark.django_db(transaction=True)


def row() -> Handoff:
    """Return the one job in the outbox."""
    return Handoff.objects.get()


def make_due(**values: Any) -> None:
    """Let the time come at which the relay looks at the jobs."""
    Handoff.objects.update(due_at=Now(), **values)


def test_a_job_is_sent_as_a_worker_expects_it(relay: Relay, sent: Sent) -> None:
    ann = User.objects.create_user("ann")
    with acting_as(ann, request_id="the-request"):
        result = add.using(queue_name="reports").enqueue(1, second=2)

    assert relay.send_due()

    (message,) = sent()
    assert message.headers["task"] == "apps.handoff.tests.example.tasks.add"
    assert message.headers["id"] == result.id
    assert message.queue == "reports"
    # A message holds only a key. The actor and the arguments are in the row.
    assert message.headers["handoff"] == ["default", result.id]
    assert message.body[:2] == [[], {}]
    assert (row().actor, row().request_id) == (str(ann.pk), "the-request")
    assert (row().status, row().sends) == (Status.SENT, 1)
    assert row().sent_at is not None


def test_a_job_is_sent_once(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)

    assert relay.send_due()
    assert not relay.send_due()
    assert not Relay().send_due()
    assert len(sent()) == 1


def test_a_job_is_not_sent_before_its_time(relay: Relay, sent: Sent) -> None:
    add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, 2)
    assert not relay.send_due()

    make_due()
    assert relay.send_due()
    assert len(sent()) == 1


def test_what_nobody_starts_is_sent_again_and_ever_later(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    waits = []
    for number in range(8):
        relay.send_due()
        assert len(sent()) == number + 1
        due = row().due_at
        assert due is not None
        waits.append(round((due - timezone.now()) / timedelta(minutes=1)))
        make_due()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_what_the_broker_does_not_take_waits(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.enqueue(1, 2)
    with monkeypatch.context() as broker:
        broker.setattr("apps.handoff.relay.queue_at", Mock(side_effect=OperationalError("no room")))
        assert not relay.send_due()
    assert (row().status, row().sends) == (Status.WAITING, 0)
    relay.not_before.clear()
    assert relay.send_due()
    assert len(sent()) == 1


def test_a_relay_in_a_thread_finishes_what_it_sends(sent: Sent, relay: Relay) -> None:
    add.enqueue(1, 2)
    relay.start()
    while not sent():
        time.sleep(0.01)
    relay.stop()
    relay.join()

    assert (row().status, row().sends) == (Status.SENT, 1)
