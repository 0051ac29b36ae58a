"""What the tests of receivers share."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.core import dispatch, tracing
from apps.core.signal_map.live import all_signals


@pytest.fixture
def connections_as_before() -> Iterator[None]:
    """Take out what a test connects, and leave everything else where it was."""
    before = {signal: list(signal.receivers) for signal in all_signals()}
    known = dict(dispatch._connections)
    yield
    for signal, receivers in before.items():
        with signal.lock:
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()
    dispatch._connections.clear()
    dispatch._connections.update(known)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    """Time receivers during a test, and forget it afterwards."""
    settings.SIGNAL_TRACING = True
    monkeypatch.setattr(tracing, "active", True)
    tracing.forget()
    yield
    tracing.forget()
