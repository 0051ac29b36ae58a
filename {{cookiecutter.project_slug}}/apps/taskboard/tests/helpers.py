"""Helpers of the tests: a temporary receiver, and several threads at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import connections
from django.db.models import Value
from django.db.models.functions import Concat
from django.dispatch import Signal

from apps.accounts.models import User
from apps.taskboard.models import Notification

type Commit = Callable[[], AbstractContextManager[Any]]


@contextmanager
def received(signal: Signal, sender: Any = None) -> Iterator[list[dict[str, Any]]]:
    """Connect a real receiver for a block and collect what it is called with.

    Patching the import path of a receiver would never touch the one that is connected.
    """
    calls: list[dict[str, Any]] = []

    def note(sender: Any, **named: Any) -> None:
        del named["signal"]
        calls.append({"sender": sender, **named})

    with connected(signal, note, sender):
        yield calls


@contextmanager
def connected(signal: Signal, function: Callable[..., Any], sender: Any = None) -> Iterator[None]:
    """Connect a receiver for a block."""
    signal.connect(function, sender=sender, weak=False)
    try:
        yield
    finally:
        assert signal.disconnect(function, sender=sender)


def at_once[Result](count: int, function: Callable[[], Result]) -> list[Result]:
    """Call a function in several threads at the same moment; return the results, or raise."""
    start = threading.Barrier(count)

    def run() -> Result:
        start.wait()
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(count)]]


def confirm_addresses() -> None:
    """Give everybody an address that is confirmed."""
    address = Concat(User.USERNAME_FIELD, Value("@example.com"))
    User.objects.update(email=address, confirmed_email=address)


def told() -> list[tuple[str, str]]:
    """List who was told what, in the order of writing."""
    rows = Notification.objects.order_by("pk").values_list("user__username", "text")
    return list(rows)
