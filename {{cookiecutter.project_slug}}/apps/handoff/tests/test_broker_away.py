"""A broker that is away or unknown stops nobody, and is not passed over in silence."""

import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from pytest_django import Settings

from apps.handoff import broker
from apps.handoff.models import Handoff, Status
from apps.handoff.relay import Relay

from .example.tasks import fail

type UseBroker = Callable[[str], None]

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds: far more than it takes, and far less than the 45 of Celery's own settings.
LONG_ENOUGH = 20


@pytest.fixture
def refusing() -> Iterator[str]:
    """Return the address of a port at which nobody listens."""
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
            assert not Relay().send_due("default")
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


def test_no_traceback_repeats_a_part_of_the_password(settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "redis://:ge/heim@127.0.0.1:6379/0"

    with pytest.raises(ImproperlyConfigured) as refused:
        broker.broker_url()

    assert "'ge'" not in "".join(format_exception(refused.value))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("carrier-pigeon://ann:geheim@loft", "starts with 'carrier-pigeon'"),
        ("redis://:ge/heim@127.0.0.1:6379/0", "is not a URL"),
        ("127.0.0.1:6379", "starts with ''"),
        ("redis:/ann:geheim@loft", "has no //"),
        ("filesystem:/srv/jobs", "has no //"),
    ],
)
def test_an_unknown_broker_is_named_without_the_password(
    url: str, sentence: str, use_broker: UseBroker
) -> None:
    use_broker(url)

    errors = [check for check in run_checks() if check.id == "handoff.E001"]
    assert sentence in errors[0].msg
    assert "heim" not in errors[0].msg


def test_queues_that_no_worker_would_read_are_refused(settings: Settings) -> None:
    backend = "apps.handoff.backend.OutboxBackend"
    settings.TASKS = {"default": {"BACKEND": backend, "QUEUES": []}}

    assert "handoff.E002" in [check.id for check in run_checks()]


def test_unknown_options_are_refused(settings: Settings) -> None:
    options = {"RETRY": 3, "BACKOFF": 1}
    backend = "apps.handoff.backend.OutboxBackend"
    settings.TASKS = {"default": {"BACKEND": backend, "OPTIONS": options}}

    (error,) = [check for check in run_checks() if check.id == "handoff.E003"]
    assert error.msg == "TASKS['default']['OPTIONS'] has no RETRY."
