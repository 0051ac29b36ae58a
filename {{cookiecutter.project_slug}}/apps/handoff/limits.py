"""Limits of time: a database that hangs or goes silent must not stop relay and worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connections, transaction

# Seconds for one statement of relay or receipts, waiting for locks included.
STATEMENT: Final = 5
LIMIT_STATEMENTS: Final = f"SELECT set_config('statement_timeout', '{STATEMENT}s', %s)"

# Options of libpq: how soon this side notices that the server or the network is gone.
CLIENT: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}


def limit_connections() -> None:
    """Let connections of this process to PostgreSQL fail soon; the settings' own options win."""
    for alias in connections:
        if connections[alias].vendor == "postgresql":
            options = connections.settings[alias].setdefault("OPTIONS", {})
            options.update(CLIENT | options)


def connect_with_limit(using: str) -> None:
    """Connect the thread at hand, unless it is connected, and limit all its statements."""
    connection = connections[using]
    if connection.connection is None:
        connection.ensure_connection()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(LIMIT_STATEMENTS, [False])


@contextmanager
def limited(using: str) -> Iterator[None]:
    """Run the block in a transaction whose statements end in time.

    Raises:
        OperationalError: from a statement that PostgreSQL has ended.
    """
    with transaction.atomic(using=using):
        if connections[using].vendor == "postgresql":
            with connections[using].cursor() as cursor:
                cursor.execute(LIMIT_STATEMENTS, [True])
        yield
