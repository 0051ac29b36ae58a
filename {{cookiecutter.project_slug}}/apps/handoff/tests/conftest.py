"""A broker for each test, and what was published to it."""

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

MODULES = ("apps.handoff.celery", "apps.handoff.worker")


@dataclass(frozen=True)
class Message:
    """A message as a worker would find it."""

    headers: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str


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
def published(use_broker: Callable[[str], None], tmp_path: Path) -> Callable[[], list[Message]]:
    """Return a function that lists what was published, in the order of time."""
    use_broker(f"filesystem://{tmp_path}")

    def messages() -> list[Message]:
        return [_read(path) for path in sorted(tmp_path.glob("jobs/*.msg"))]

    return messages


def _read(path: Path) -> Message:
    message = json.loads(path.read_text(encoding="utf-8"))
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    return Message(message["headers"], args, kwargs, path.name.split(".")[1])
