"""The relay sends every job once, and again when that has come to nothing."""

import logging
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.core.jobs import hand_off
from apps.handoff import relay as relay_module
from apps.handoff.models import Handoff, Status
from apps.handoff.relay import IDLE_POLL, LEASE, POLL, SENDS, Relay, claim
from apps.handoff.transport import Channel

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

    assert relay.send_due("default")

    (message,) = sent()
    assert message.headers["task"] == "apps.handoff.tests.example.tasks.add"
    assert message.headers["id"] == result.id
    assert (message.args, message.kwargs, message.queue) == ([1], {"second": 2}, "reports")
    assert message.headers["handoff"] == {
        "database": "default",
        "backend": "default",
        "attempt": 1,
        "actor": str(ann.pk),
        "request_id": "the-request",
    }
    assert (row().status, row().sends) == (Status.SENT, 1)
    assert row().sent_at is not None


def test_a_job_is_sent_once(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)

    assert relay.send_due("default")
    assert not relay.send_due("default")
    assert not Relay().send_due("default")
    assert len(sent()) == 1


def test_an_idle_relay_asks_one_thing(
    relay: Relay, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assert not relay.send_due("default")


def test_a_relay_in_a_thread_finishes_what_it_sends(sent: Sent, relay: Relay) -> None:
    add.enqueue(1, 2)
    relay.start()
    while not sent():
        time.sleep(0.01)
    relay.stop()
    relay.join()

    assert not relay.running
    assert (row().status, row().sends) == (Status.SENT, 1)


def test_a_relay_looks_more_often_while_jobs_come_in(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [True, False, False]
    pauses = []

    def send_due(alias: str) -> bool:
        return found.pop(0) if found else False

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            monkeypatch.setattr(relay_module, "IDLE_AFTER", 0)
        else:
            relay.stop()

    monkeypatch.setattr(relay, "send_due", send_due)
    monkeypatch.setattr(relay.stopping, "wait", wait)
    # In a thread, whose own connections it closes in the end.
    relay.start()
    relay.join()
    assert pauses == [POLL, IDLE_POLL]


def test_every_outbox_is_emptied(relay: Relay, sent: Sent, other_database: str) -> None:
    hand_off(add, 1, 2, using=other_database)

    assert relay.send_due(other_database)

    assert sent()[0].headers["handoff"]["database"] == other_database


def test_a_job_is_not_sent_before_its_time(relay: Relay, sent: Sent) -> None:
    add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, 2)
    assert not relay.send_due("default")

    make_due()
    assert relay.send_due("default")
    assert len(sent()) == 1


def test_a_higher_priority_goes_first_and_equals_by_age(relay: Relay, sent: Sent) -> None:
    for priority, number in [(0, 1), (0, 2), (-5, 3), (50, 4), (50, 5)]:
        add.using(priority=priority).enqueue(number, 0)

    relay.send_due("default")

    assert [message.args[0] for message in sent()] == [4, 5, 1, 2, 3]


def test_jobs_wait_in_the_outbox_when_enough_are_at_the_broker(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "WINDOW", 1)
    add.enqueue(1, 0)
    relay.send_due("default")
    add.enqueue(2, 0)
    add.using(priority=9).enqueue(3, 0)
    add.using(queue_name="reports").enqueue(4, 0)

    relay.send_due("default")
    assert [message.args[0] for message in sent()] == [1, 4]

    Handoff.objects.filter(status=Status.SENT).update(status=Status.RUNNING, sent_at=None)
    monkeypatch.setattr(relay_module, "BATCH", 1)
    relay.send_due("default")
    assert [message.args[0] for message in sent()] == [1, 4, 3]


def test_what_nobody_starts_is_sent_again_and_ever_later(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    waits = []
    for _ in range(8):
        relay.send_due("default")
        due = row().due_at
        assert due is not None
        waits.append(round((due - timezone.now()) / timedelta(minutes=1)))
        make_due()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(sent()) == 8
    assert {message.headers["handoff"]["attempt"] for message in sent()} == {1}


def test_what_nobody_ever_starts_is_given_up(
    relay: Relay, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    add.enqueue(1, 2)
    relay.send_due("default")
    make_due(sends=SENDS)

    relay.send_due("default")

    assert (row().status, row().due_at) == (Status.FAILED, None)
    assert f"No worker has started what was sent {SENDS} times" in caplog.text
    assert len(sent()) == 1


def test_a_job_whose_process_died_is_sent_again(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    make_due(status=Status.RUNNING, attempts=3)

    relay.send_due("default")

    assert sent()[0].headers["handoff"]["attempt"] == 4
    assert sent()[0].headers["retries"] == 3


def test_a_job_that_kills_its_process_each_time_is_given_up(
    relay: Relay, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    add.enqueue(1, 2)
    make_due(status=Status.RUNNING, attempts=9, worker="celery@here")

    relay.send_due("default")

    assert row().status == Status.FAILED
    assert "The process of celery@here died" in caplog.text
    assert sent() == []


def test_what_a_dead_relay_had_taken_is_sent_by_another(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    claim("default", 1)  # and then it dies
    assert not relay.send_due("default")
    due = row().due_at
    assert due is not None
    assert due < timezone.now() + LEASE

    make_due()
    assert relay.send_due("default")
    assert len(sent()) == 1


def test_a_worker_may_be_quicker_than_the_relay(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.enqueue(1, 2)
    rows = claim("default", 1)
    Handoff.objects.update(status=Status.RUNNING, attempts=1, due_at=Now(), sent_at=None)

    relay_module.publish("default", rows, relay.connection)

    assert row().status == Status.RUNNING
    assert row().sends == 0


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the broker take nothing; return a function that mends it."""
    broker = pytest.MonkeyPatch()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no room")

    broker.setattr("apps.handoff.transport.Channel._put", refuse)
    return broker.undo


def test_what_the_broker_does_not_take_waits(
    relay: Relay, sent: Sent, broken: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        add.enqueue(1, 2)
    try:
        for _ in range(3):
            assert not relay.send_due("default")
            relay.not_before.clear()
        assert set(Handoff.objects.values_list("status", "sends")) == {(Status.WAITING, 0)}
        assert Handoff.objects.due().count() == 3
    finally:
        broken()

    errors = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "no room" in errors[0].getMessage()

    relay.send_due("default")
    relay.send_due("default")
    assert len(sent()) == 3


def test_a_relay_is_patient_with_a_broker_that_is_away(
    relay: Relay, sent: Sent, broken: Callable[[], None], django_assert_num_queries: Any
) -> None:
    add.enqueue(1, 2)
    try:
        relay.send_due("default")
        with django_assert_num_queries(0):
            relay.send_due("default")
    finally:
        broken()


def test_a_database_that_is_away_stops_no_relay(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add.enqueue(1, 2)

    def fail(alias: str) -> bool:
        raise DatabaseError("gone")

    with monkeypatch.context() as away:
        away.setattr(relay_module, "is_due", fail)
        assert not relay.send_due("default")
    relay.not_before.clear()

    assert relay.send_due("default")
    assert "cannot be read (gone)" in caplog.text
    assert len(sent()) == 1


def test_relays_at_once_send_each_job_once(sent: Sent, relay: Relay) -> None:
    for number in range(60):
        add.enqueue(number, 0)

    def send() -> None:
        try:
            mine = Relay()
            while mine.send_due("default"):
                pass
        finally:
            connections.close_all()

    threads = [Thread(target=send) for _ in range(4)]
    with pytest.MonkeyPatch.context() as small:
        small.setattr(relay_module, "BATCH", 5)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(message.args[0] for message in sent()) == list(range(60))


def test_the_command_runs_until_it_is_told_to_stop(
    sent: Sent, relay: Relay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add.enqueue(1, 2)
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    send_due = Relay.send_due

    def send_and_be_told(self: Relay, alias: str) -> bool:
        sent_any = send_due(self, alias)
        handlers[signal.SIGTERM]()
        return sent_any

    monkeypatch.setattr(Relay, "send_due", send_and_be_told)
    call_command("relay")

    assert len(sent()) == 1
    assert capsys.readouterr().out.splitlines() == [
        "The relay is running.",
        "The relay has stopped.",
    ]


def test_what_a_worker_has_started_is_not_given_back(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.enqueue(1, 0)
    add.enqueue(2, 0)
    rows = claim("default", 2)
    put = Channel._put

    def put_one(self: Channel, queue: str, *args: Any, **kwargs: Any) -> None:
        started = Handoff.objects.filter(pk=rows[0].pk, status=Status.SENT)
        if not started.update(status=Status.RUNNING, attempts=1, sent_at=None):
            raise OSError("no room")
        put(self, queue, *args, **kwargs)

    monkeypatch.setattr(Channel, "_put", put_one)
    with pytest.raises(OSError, match="no room"):
        relay_module.publish("default", rows, relay.connection)

    statuses = dict(Handoff.objects.values_list("pk", "status"))
    assert statuses == {rows[0].pk: Status.RUNNING, rows[1].pk: Status.WAITING}
