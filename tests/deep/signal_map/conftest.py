"""What the tests of the map share."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.core import watch
from apps.signal_map import tracing


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    """Time receivers during a test, and forget it afterwards."""
    settings.SIGNAL_TRACING = True
    monkeypatch.setattr(watch, "watcher", tracing)
    tracing.forget()
    yield
    tracing.forget()
