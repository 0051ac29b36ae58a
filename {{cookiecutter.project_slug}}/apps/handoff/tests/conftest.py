"""A broker for each test, what was sent to it, and jobs that run here and now."""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kombu import pools
from pytest_django import Settings

import apps.handoff
from apps.handoff.relay import Relay

MODULES = ("apps.handoff.celery", "apps.handoff.celery_app")


@dataclass(frozen=True)
class Message:
    """A message as a worker would find it."""

    headers: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str


@pytest.fixture(autouse=True)
def retries_at_once(settings: Settings) -> None:
    """Let no attempt wait for its time; the project's other queues and backends stay."""
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
    """Return a function that names the broker; Celery reads its settings anew for each."""

    def use(url: str) -> None:
        settings.CELERY_BROKER_URL = url
        for name in MODULES:
            monkeypatch.delitem(sys.modules, name, raising=False)
            monkeypatch.delattr(apps.handoff, name.rpartition(".")[2], raising=False)

    yield use
    pools.reset()


@pytest.fixture
def sent(use_broker: Callable[[str], None], tmp_path: Path) -> Callable[[], list[Message]]:
    """Return a function that lists what the relay has sent so far, in the order of time."""
    use_broker(f"filesystem://{tmp_path}/broker")

    def messages() -> list[Message]:
        return [_read(path) for path in sorted(tmp_path.glob("broker/jobs/*.msg"))]

    return messages


@pytest.fixture
def relay(sent: Callable[[], list[Message]]) -> Relay:
    """Return a relay that sends to the broker of the test."""
    return Relay()


@pytest.fixture
def notes(use_broker: Callable[[str], None], tmp_path: Path) -> Callable[[], list[str]]:
    """Return a function that lists the notes in the file ``tmp_path / "notes"``."""
    use_broker(f"filesystem://{tmp_path}/broker")
    file = tmp_path / "notes"

    def lines() -> list[str]:
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    return lines


def _read(path: Path) -> Message:
    message = json.loads(path.read_text(encoding="utf-8"))
    (text,), _, _ = json.loads(base64.b64decode(message["body"]))
    args, kwargs = json.loads(text)
    return Message(message["headers"], args, kwargs, path.name.split(".")[1])
