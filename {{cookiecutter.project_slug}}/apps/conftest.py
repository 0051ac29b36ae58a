"""What all tests share."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords quickly; that the real hash is slow is its purpose, not the tests'."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def other_database(db: None) -> Iterator[str]:
    """Open a second database, called ``other``, with every table, all empty.

    It commits for real, also while the test's transaction in the default
    database is open.
    """
    alias = "other"
    configuration = connections.databases["default"] | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {},
    }
    connection = DatabaseWrapper(configuration, alias)
    # Connected before it is known: Django forbids a test to connect to a known
    # database that it has not announced, and one that is announced never commits.
    connection.connect()
    connections.databases[alias] = configuration
    connections[alias] = connection
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)
    yield alias
    # Django itself never closes a database in memory.
    connection.connection.close()
    del connections[alias]
    del connections.databases[alias]
