"""A broker that is away or unknown stops no request, and is reported."""

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception
from typing import Any
from uuid import uuid4

import pytest
from billiard import Process
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.tasks import task_backends
from kombu import Connection
from pytest_django import Settings

from apps.handoff import broker
from apps.handoff.models import Handoff, Status
from apps.handoff.relay import Relay

from ..example.tasks import add, fail
from .servers import URLS, Door, remove, why_away

type UseBroker = Callable[[str], None]

pytestmark = pytest.mark.django_db(transaction=True)


# Seconds: far more than it takes, and far less than the 45 of Celery's own settings.
LONG_ENOUGH = 20


@pytest.fixture
def refusing() -> Iterator[str]:
    """Return the address of a port without a server."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["refusing", "silent"])
@pytest.mark.parametrize("url", ["redis://:geheim@{}/0", "amqp://ann:geheim@{}//"])
def test_sending_ends_soon_and_is_logged(
    kind: str,
    url: str,
    request: pytest.FixtureRequest,
    use_broker: UseBroker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "PATIENCE", 0.5)
    address = request.getfixturevalue(kind)
    use_broker(url.format(address))
    fail.enqueue("path", times=2)

    def send() -> None:
        try:
            assert not Relay().send_due()
        finally:
            connections.close_all()

    executor = ThreadPoolExecutor()
    try:
        executor.submit(send).result(timeout=LONG_ENOUGH)
    finally:
        executor.shutdown(wait=False)

    (error,) = [entry for entry in caplog.records if entry.name == "apps.handoff.relay"]
    assert error.levelno == logging.ERROR
    assert address in error.getMessage()
    assert "geheim" not in caplog.text
    assert Handoff.objects.due().get().status == Status.WAITING


@pytest.fixture(params=URLS)
def door(
    request: pytest.FixtureRequest, settings: Settings, use_broker: UseBroker
) -> Iterator[Door]:
    """Name a server as the broker, behind a door that is not open yet."""
    url = URLS[request.param]
    if away := why_away(url):
        assert os.environ.get("REQUIRE_SERVICES") != "1", away
        pytest.skip(away)
    # Of this test alone: other projects may use the same server.
    queue = f"test-{uuid4()}"
    queues = [queue, f"a-{queue}"]
    settings.TASKS = {**settings.TASKS, "default": settings.TASKS["default"] | {"QUEUES": queues}}
    settings.CELERY_QUEUE_PREFIX = ""
    settings.PERIODIC = []  # these jobs are of another queue
    door = Door(url)
    use_broker(door.url)
    yield door
    door.close()
    for queue in queues:
        remove(url, queue)


@pytest.fixture
def relay(door: Door) -> Iterator[Relay]:
    """Return a relay that sends to the server."""
    relay = Relay()
    yield relay
    relay.connection.release()


def is_sent(relay: Relay) -> bool:
    """Hand a job off and let the relay try; say whether it has sent everything."""
    queue = max(task_backends["default"].queues)
    add.using(queue_name=queue).enqueue(1, 2)
    relay.not_before.clear()
    return relay.send_due() and not Handoff.objects.due().exists()


def test_a_broker_that_comes_later_is_sent_what_waits(relay: Relay, door: Door) -> None:
    assert not is_sent(relay)
    assert not is_sent(relay)

    door.open()
    # At first it tries with a single one.
    assert [is_sent(relay) for _ in range(2)][-1]


def test_a_connection_that_was_cut_is_opened_anew(relay: Relay, door: Door) -> None:
    door.open()
    assert is_sent(relay)

    door.cut()
    # The first may find that out, and the second tries with a single one.
    assert [is_sent(relay) for _ in range(3)][-1]


def test_a_new_process_of_the_worker_does_not_cut_the_connection(
    relay: Relay, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.open()
    assert is_sent(relay)

    process = Process(target=int)
    with warnings.catch_warnings():
        # Of threads, which those of the door are, and the worker has some too.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    process.join()

    assert is_sent(relay), caplog.text


def test_no_traceback_repeats_a_part_of_the_password(settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "redis://:ge/heim@127.0.0.1:6379/0"

    with pytest.raises(ImproperlyConfigured) as refused:
        broker.broker_url()

    assert "'ge'" not in "".join(format_exception(refused.value))


def spoil(url: str, queue: str) -> None:
    """Put something else in the place of a queue."""
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        if url.startswith("redis"):
            channel.client.set(queue, "no list")
        else:
            channel.queue_declare(queue, durable=False, arguments={"x-max-length": 1})


def mend(url: str, queue: str) -> None:
    """Take that away again."""
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        if url.startswith("redis"):
            channel.client.delete(queue)
        else:
            channel.queue_delete(queue)


def test_a_queue_that_the_broker_refuses_stops_no_other(
    relay: Relay, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.open()
    spoilt, good = sorted(task_backends["default"].queues)
    spoil(door.url, spoilt)
    try:
        for queue in (spoilt, good):
            add.using(queue_name=queue).enqueue(1, 2)
        assert relay.send_due()

        statuses = dict(Handoff.objects.values_list("queue", "status"))
        assert statuses == {spoilt: Status.WAITING, good: Status.SENT}
        (error,) = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
        assert f"queue {spoilt!r}, cannot be sent" in error.getMessage()

        from apps.handoff.celery import leave_out_refused_queues
        from apps.handoff.celery_app import app

        leave_out_refused_queues()
        assert spoilt not in app.amqp.queues.consume_from
        assert good in app.amqp.queues.consume_from
        assert f"The broker refuses the queue {spoilt}" in caplog.text

        mend(door.url, spoilt)
        relay.not_before.clear()
        assert relay.send_due()
        assert set(Handoff.objects.values_list("status", flat=True)) == {Status.SENT}
    finally:
        mend(door.url, spoilt)
