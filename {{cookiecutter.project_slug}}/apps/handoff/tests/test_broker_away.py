"""A broker that is away or unknown stops nobody, and is not passed over in silence."""

import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.tasks import TaskResult
from django.tasks.signals import task_enqueued
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings

from apps.core.actor import acting_as
from apps.handoff import broker
from apps.handoff.backend import OutboxBackend

from .example.tasks import fail, record

type UseBroker = Callable[[str], None]

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
def test_publishing_ends_soon_and_is_logged(
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
    backend = fail.get_backend()
    assert isinstance(backend, OutboxBackend)
    result = backend.ready_result(fail, ["path"], {"times": 2})

    executor = ThreadPoolExecutor()
    try:
        executor.submit(backend.publish, result, copy_context()).result(timeout=LONG_ENOUGH)
    finally:
        executor.shutdown(wait=False)

    (error,) = [entry for entry in caplog.records if entry.name == "apps.handoff.backend"]
    assert error.levelno == logging.ERROR
    sentence = error.getMessage()
    assert "apps.handoff.tests.example.tasks.fail('path', times=2)" in sentence
    assert result.id in sentence
    assert address in sentence
    assert (
        "from apps.handoff.tests.example.tasks import fail; fail.enqueue('path', times=2)"
        in sentence
    )
    assert "geheim" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_transaction_and_later_callbacks_are_not_disturbed(
    refusing: str, use_broker: UseBroker, caplog: pytest.LogCaptureFixture
) -> None:
    use_broker(f"redis://{refusing}/0")
    told: list[Any] = []

    def listen(task_result: TaskResult, **kwargs: Any) -> None:
        told.append(task_result)

    task_enqueued.connect(listen)
    try:
        with transaction.atomic():
            result = record.enqueue("path", "text")
            transaction.on_commit(lambda: told.append("later"))
    finally:
        task_enqueued.disconnect(listen)

    assert told == ["later"]
    assert result.enqueued_at is None
    assert "was not published" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_any_other_failure_is_logged_with_its_traceback(
    use_broker: UseBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use_broker(f"filesystem://{tmp_path}")
    told: list[str] = []

    def look_up() -> None:
        raise LookupError("no session")

    with acting_as(SimpleLazyObject(look_up)), transaction.atomic():  # type: ignore[arg-type]
        record.enqueue("path", "text")
        transaction.on_commit(lambda: told.append("later"))

    assert told == ["later"]
    assert "tasks.record('path', 'text')" in caplog.text
    assert "Traceback" in caplog.text


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
    ],
)
@pytest.mark.django_db(transaction=True)
def test_an_unknown_broker_is_named_without_the_password(
    url: str, sentence: str, use_broker: UseBroker, caplog: pytest.LogCaptureFixture
) -> None:
    use_broker(url)

    record.enqueue("path", "text")
    record.enqueue("path", "text")

    errors = [check for check in run_checks() if check.id == "handoff.E001"]
    assert sentence in errors[0].msg
    assert caplog.text.count(sentence) == 2
    assert "heim" not in caplog.text + errors[0].msg


def test_queues_that_no_worker_would_read_are_refused(settings: Settings) -> None:
    backend = "apps.handoff.backend.OutboxBackend"
    settings.TASKS = {"default": {"BACKEND": backend, "QUEUES": []}}

    assert "handoff.E002" in [check.id for check in run_checks()]
