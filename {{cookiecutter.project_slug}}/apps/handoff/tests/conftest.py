"""A broker for each test, what was sent to it, and jobs that run here and now."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kombu import pools
from pytest_django import Settings

import apps.handoff
from apps.handoff.models import Handoff
from apps.handoff.relay import Relay


@dataclass(frozen=True)
class Message:
    """A message as a worker would find it."""

    headers: dict[str, Any]
    queue: str
    body: Any

    @property
    def args(self) -> list[Any]:
        """The positional arguments, which are in the row that the message names."""
        alias, key = self.headers["handoff"]
        return Handoff.objects.using(alias).get(pk=key).loaded_arguments()[0]


@pytest.fixture(autouse=True)
def retries_at_once(settings: Settings) -> None:
    """Let attempts run without a pause; keep the project's other queues and backends."""
    entry = settings.TASKS["default"]
    entry = entry | {
        "BACKEND": "apps.handoff.backend.OutboxBackend",
        "QUEUES": sorted({*entry.get("QUEUES", []), "default", "reports"}),
        "OPTIONS": {"BACKOFF": 0},
    }
    settings.TASKS = {**settings.TASKS, "default": entry}


@pytest.fixture
def use_broker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Return a function that names the broker; Celery reads its settings again for each."""

    def use(url: str) -> None:
        settings.CELERY_BROKER_URL = url
        for name in ("celery", "celery_app"):
            monkeypatch.delitem(sys.modules, f"apps.handoff.{name}", raising=False)
            monkeypatch.delattr(apps.handoff, name, raising=False)

    yield use
    pools.reset()


@pytest.fixture
def sent(use_broker: Callable[[str], None]) -> Callable[[], list[Message]]:
    """Return a function that lists what the relay has sent so far, by queue and time."""
    use_broker("memory://")
    found: list[Message] = []

    def messages() -> list[Message]:
        from apps.handoff.celery_app import app

        with app.connection_for_read() as connection:
            queues: list[Any] = list(app.amqp.queues.values())
            for queue in queues:
                bound = queue(connection.default_channel)
                bound.declare()
                while message := bound.get(no_ack=True):
                    found.append(Message(message.headers, queue.alias, message.payload))
        return found

    messages()  # of other tests
    found.clear()
    return messages


@pytest.fixture
def relay(sent: Callable[[], list[Message]]) -> Relay:
    """Return a relay that sends to the broker of the test."""
    return Relay()


@pytest.fixture
def notes(use_broker: Callable[[str], None], tmp_path: Path) -> Callable[[], list[str]]:
    """Return a function that lists the notes in the file ``tmp_path / "notes"``."""
    use_broker("memory://")
    file = tmp_path / "notes"

    def lines() -> list[str]:
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    return lines
