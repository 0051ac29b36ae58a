"""Fixtures of all tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.dispatch import Signal

from apps.core import dispatch


@pytest.fixture
def connections_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a test connects and disconnects."""
    before: dict[Signal, list[Any]] = {}
    connections = dict(dispatch._connections)

    def remembering(method: Callable[..., Any]) -> Callable[..., Any]:
        def change(self: Signal, *args: Any, **kwargs: Any) -> Any:
            before.setdefault(self, list(self.receivers))
            return method(self, *args, **kwargs)

        return change

    for name in ("connect", "disconnect"):
        monkeypatch.setattr(Signal, name, remembering(getattr(Signal, name)))
    yield
    for signal, receivers in before.items():
        with signal.lock:
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()
    dispatch._connections.clear()
    dispatch._connections.update(connections)


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Start each test with all counts at zero."""
    cache.clear()


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords quickly, because the real hash is slow on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def jobs_in_process(settings: Any) -> None:
    """Run jobs in the process of the test after the commit, whatever ``TASKS`` says."""
    backend = {"BACKEND": "apps.core.jobs.AfterCommitBackend", "OPTIONS": {}}
    settings.TASKS = {alias: {**entry, **backend} for alias, entry in settings.TASKS.items()}


@pytest.fixture
def other_database(db: None) -> Iterator[str]:
    """Open a database ``other`` with empty tables, which commits even if the test's does not."""
    alias = "other"
    configuration = connections.databases["default"] | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {},
    }
    connection = DatabaseWrapper(configuration, alias)
    # Connect before Django knows the database. A test may use a known one only if it announces it,
    # and that never commits.
    connection.connect()
    connections.databases[alias] = configuration
    connections[alias] = connection
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)
    yield alias
    # Django never closes a database in memory.
    connection.connection.close()
    del connections[alias]
    del connections.databases[alias]
