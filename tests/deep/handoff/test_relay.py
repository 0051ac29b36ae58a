"""The relay sends every job once, and again when that has come to nothing."""

import logging
import math
from collections.abc import Callable
from threading import Thread, Timer
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError
from django.db import DatabaseError, connection, connections
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kombu.exceptions import OperationalError
from psycopg import IsolationLevel
from pytest_django import DjangoAssertNumQueries

from apps.core.jobs import hand_off, hand_off_many
from apps.handoff import relay as relay_module
from apps.handoff.limits import limit_connections, limited
from apps.handoff.models import Handoff, Status
from apps.handoff.receipts import Run
from apps.handoff.relay import FIRST_PATIENCE, IDLE_POLL, POLL, Relay, claim

from ..conftest import Message
from ..example.tasks import add
from ..test_relay import make_due, row

type Sent = Callable[[], list[Message]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the broker take nothing; return a function that mends it."""
    broker = pytest.MonkeyPatch()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("no room")

    broker.setattr("apps.handoff.relay.queue_at", refuse)
    return broker.undo


def test_an_idle_relay_asks_one_thing(
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    assert not relay.send_due()  # this one may have to connect
    monkeypatch.setattr(relay, "periodic_not_before", math.inf)  # which is a second later
    with django_assert_num_queries(1):
        assert not relay.send_due()


def test_a_relay_looks_more_often_while_jobs_come_in(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [True, False, False]
    pauses = []

    def send_due() -> bool:
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

    assert Relay(other_database).send_due()

    assert sent()[0].headers["handoff"][0] == other_database


def test_a_higher_priority_goes_first_and_equals_by_age(relay: Relay, sent: Sent) -> None:
    for priority, number in [(0, 1), (0, 2), (-5, 3), (50, 4), (50, 5)]:
        add.using(priority=priority).enqueue(number, 0)

    relay.send_due()

    assert [message.args[0] for message in sent()] == [4, 5, 1, 2, 3]


def test_jobs_wait_in_the_outbox_when_enough_are_at_the_broker(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "WINDOW", 1)
    add.enqueue(1, 0)
    relay.send_due()
    add.enqueue(2, 0)
    add.using(priority=9).enqueue(3, 0)
    add.using(queue_name="reports").enqueue(4, 0)

    relay.send_due()
    assert [message.args[0] for message in sent()] == [1, 4]

    Handoff.objects.filter(status=Status.SENT).update(status=Status.RUNNING, sent_at=None)
    monkeypatch.setattr(relay_module, "BATCH", 1)
    relay.send_due()
    assert [message.args[0] for message in sent()] == [1, 4, 3]


def test_a_job_that_kills_its_process_each_time_is_given_up(
    relay: Relay, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    add.enqueue(1, 2)
    make_due(status=Status.RUNNING, attempts=9, worker="celery@here", sent_at=Now())

    relay.send_due()

    assert row().status == Status.FAILED
    assert "The process of celery@here died" in caplog.text
    assert sent() == []


def test_what_a_dead_relay_had_taken_is_sent_by_another(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    claim("default", "default", 1)  # and then it dies
    assert not relay.send_due()
    due = row().due_at
    assert due is not None
    assert due < timezone.now() + FIRST_PATIENCE

    make_due()
    assert relay.send_due()
    assert len(sent()) == 1


def test_a_worker_may_be_quicker_than_the_relay(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.enqueue(1, 2)
    rows = claim("default", "default", 1)
    Handoff.objects.update(status=Status.RUNNING, attempts=1, due_at=Now(), sent_at=None, sends=0)

    relay_module.publish("default", rows, relay.connection)

    assert row().status == Status.RUNNING
    assert row().sends == 0


def test_a_relay_is_patient_with_a_broker_that_is_away(
    relay: Relay, sent: Sent, broken: Callable[[], None], django_assert_num_queries: Any
) -> None:
    add.enqueue(1, 2)
    try:
        relay.send_due()
        with django_assert_num_queries(0):
            relay.send_due()
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
        assert not relay.send_due()
    relay.not_before.clear()

    assert relay.send_due()
    assert "cannot be read (gone)" in caplog.text
    assert len(sent()) == 1


def test_relays_at_once_send_each_job_once(sent: Sent, relay: Relay) -> None:
    for number in range(60):
        add.enqueue(number, 0)

    def send() -> None:
        try:
            another = Relay()
            while another.send_due():
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


def test_what_a_worker_has_started_is_not_given_back(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    add.enqueue(1, 0)
    add.enqueue(2, 0)
    rows = claim("default", "default", 2)

    def start_one(*args: Any) -> None:
        started = Handoff.objects.filter(pk=rows[0].pk, status=Status.SENT)
        started.update(status=Status.RUNNING, attempts=1)
        raise OSError("no room")

    monkeypatch.setattr(relay_module, "queue_at", start_one)
    with pytest.raises(OSError, match="no room"):
        relay_module.publish("default", rows, relay.connection)

    statuses = dict(Handoff.objects.values_list("pk", "status"))
    assert statuses == {rows[0].pk: Status.RUNNING, rows[1].pk: Status.WAITING}


def test_a_claim_reads_an_index_in_its_order_whatever_the_backlog(relay: Relay) -> None:
    """Without it a claim sorts all that waits, of which the database's statistics know nothing."""
    hand_off_many(add, [(number, 0) for number in range(2000)])
    with CaptureQueriesContext(connection) as queries:
        assert relay._send_queue("default")
    plans = []
    with limited("default"), connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        for query in queries:
            if query["sql"].startswith("SELECT"):
                cursor.execute(f"{explain} {query['sql']}")
                plans.append(str(cursor.fetchall()))
    *others, of_waiting = plans
    assert "handoff_next" in of_waiting
    assert len(others) == 3
    assert all("handoff_sent" in plan for plan in others)
    for word in ("Sort", "Seq Scan", "Bitmap", "TEMP B-TREE", "SCAN"):
        assert word not in str(plans)


def test_a_relay_leaves_no_setting_behind(relay: Relay, sent: Sent) -> None:
    """A pooler such as pgbouncer gives the connection to web processes next."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such settings.")
    names = ("statement_timeout", "enable_sort", "enable_seqscan", "enable_bitmapscan")

    def settings_of_session() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(f"current_setting('{name}')" for name in names)}")
            return list(cursor.fetchone())

    before = settings_of_session()
    add.enqueue(1, 2)
    connection.close()
    assert relay.send_due()
    assert not relay.send_due()
    assert settings_of_session() == before
    with limited("default"):
        assert settings_of_session() == ["5s", "off", "off", "off"]


def test_no_process_inherits_a_connection_to_sqlite(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay may wait for a long job, longer than any server lets it wait."""
    if connection.vendor != "sqlite":
        pytest.skip("This is about SQLite.")
    monkeypatch.setattr(relay_module, "STATEMENT", 0)
    monkeypatch.setattr(relay_module, "relays", [relay])
    relay.database = connection
    connection.ensure_connection()
    relay.lock.acquire()
    ending = Timer(0.1, relay.lock.release)
    ending.start()
    try:
        relay_module._before_fork()
        assert connection.connection is None
    finally:
        relay_module.release()
        ending.join()


def test_relays_and_workers_do_not_refuse_each_other(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SERIALIZABLE the relay reads what a worker writes at the same time, and one fails."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one isolation only.")
    level = {"isolation_level": IsolationLevel.SERIALIZABLE}
    options = connection.settings_dict["OPTIONS"] | level
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    connection.close()
    try:
        add.enqueue(1, 2)
        assert relay.send_due()
        with limited("default"), connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("read committed",)
    finally:
        connection.close()


def test_a_worker_has_no_pool_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes are forked, and two of them would use one connection."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no pools.")
    options = {**connection.settings_dict["OPTIONS"], "pool": True}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    limit_connections()
    assert "pool" not in options


def test_a_full_window_costs_a_look_the_same_whatever_waits(
    relay: Relay, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "WINDOW", 1)

    def look() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert not relay.send_due()
        return len(queries)

    add.enqueue(0, 0)
    relay.send_due()
    add.enqueue(0, 0)
    few = look()
    for number in range(50):
        add.enqueue(number, 0)
    assert look() == few


def test_a_queue_that_is_not_known_stops_no_other(
    relay: Relay, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    add.enqueue(1, 2)
    Handoff.objects.update(queue="a queue that was")
    add.enqueue(3, 4)

    assert relay.send_due()

    assert [message.args for message in sent()] == [[3, 4]]
    assert "queue 'a queue that was'" in caplog.text
    assert dict(Handoff.objects.values_list("queue", "status")) == {
        "a queue that was": Status.WAITING,
        "default": Status.SENT,
    }


def test_a_job_that_was_revoked_can_run_again(relay: Relay, sent: Sent) -> None:
    """A worker remembers the id that was revoked, and discards what has it."""
    result = add.enqueue(1, 2)
    relay.send_due()
    run = Run.of("default", result.id)
    assert run is not None
    assert run.start("here")
    run.fail(TaskRevokedError("revoked"), for_good=True)
    Handoff.objects.all().send_again()
    relay.send_due()

    first, second = (message.headers["id"] for message in sent())
    assert first == result.id
    assert second.startswith(f"{result.id}.")


def test_what_waits_at_the_broker_is_not_sent_again(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    relay.send_due()
    make_due()
    assert not relay.send_due()

    assert len(sent()) == 1  # and so the queue is empty, and the message lost
    relay.not_before.clear()
    assert relay.send_due()
    assert len(sent()) == 2


def test_a_job_is_sent_again_however_often_its_message_is_lost(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    relay.send_due()
    assert len(sent()) == 1
    make_due(sends=1000)

    relay.send_due()

    assert (row().status, row().sends) == (Status.SENT, 1001)
    assert len(sent()) == 2


def test_a_job_whose_process_died_is_sent_again(relay: Relay, sent: Sent) -> None:
    add.enqueue(1, 2)
    make_due(status=Status.RUNNING, attempts=3, sent_at=Now())

    relay.send_due()

    assert [message.args for message in sent()] == [[1, 2]]


def test_what_the_broker_does_not_take_waits(
    relay: Relay, sent: Sent, broken: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        add.enqueue(1, 2)
    try:
        for _ in range(3):
            assert not relay.send_due()
            relay.not_before.clear()
        assert set(Handoff.objects.values_list("status", "sends")) == {(Status.WAITING, 0)}
        assert Handoff.objects.due().count() == 3
    finally:
        broken()

    errors = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "no room" in errors[0].getMessage()

    relay.send_due()
    relay.send_due()
    assert len(sent()) == 3
