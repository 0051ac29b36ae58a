"""Limits of time: a database that hangs or goes silent must not stop relay and worker."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Thread, get_ident
from typing import Any, Final

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

# Seconds for one statement of relay or receipts, waiting for locks included.
STATEMENT: Final = 5
LIMIT_STATEMENTS: Final = f"SELECT set_config('statement_timeout', '{STATEMENT}s', %s)"

# The relay reads indexes in their order. PostgreSQL would read and sort all of a backlog that has
# come at once, since its statistics do not know of that yet.
READ_IN_ORDER: Final = (
    "SELECT set_config('enable_sort', 'off', false), set_config('enable_seqscan', 'off', false),"
    " set_config('enable_bitmapscan', 'off', false)"
)

# Seconds after which a connection is cut whose server says nothing, not even that it was too long.
SILENCE: Final = 10

# By thread: when its connection is cut.
_watched: Final[dict[int, tuple[float, BaseDatabaseWrapper]]] = {}

# Options of libpq: how soon this side notices that the server or the network is gone.
CLIENT: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

# A database server that is cut off from the worker's machine otherwise keeps the lock on a
# running job for hours.
NOTICE_DEAD_CLIENTS: Final = (
    "SELECT set_config('tcp_keepalives_idle', '30', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
# The query of a process that was killed otherwise goes on to its end, and keeps the lock.
NOTICE_IN_A_QUERY: Final = "SELECT set_config('client_connection_check_interval', '2s', false)"


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
                cursor.execute(READ_IN_ORDER)


@contextmanager
def limited(using: str) -> Iterator[None]:
    """Run the block in a transaction whose statements end in time.

    Raises:
        OperationalError: from a statement that PostgreSQL has ended, or has not answered.
    """
    with cut_when_silent(using), transaction.atomic(using=using):
        if connections[using].vendor == "postgresql":
            with connections[using].cursor() as cursor:
                cursor.execute(LIMIT_STATEMENTS, [True])
        yield


@contextmanager
def cut_when_silent(using: str) -> Iterator[None]:
    """Cut the connection when the block takes too long, so that its statement fails.

    A server whose process is stopped ends no statement, and its machine still answers for it.
    """
    connection, me = connections[using], get_ident()
    if connection.vendor == "postgresql":
        _start_watch(os.getpid())
        _watched[me] = (time.monotonic() + SILENCE, connection)
    try:
        yield
    finally:
        _watched.pop(me, None)


@cache
def _start_watch(process: int) -> None:
    # What the parent watches is none of this process's business.
    _watched.clear()
    Thread(target=_watch, name="watch over connections", daemon=True).start()


def _watch() -> None:
    while True:
        time.sleep(1)
        for end, connection in list(_watched.values()):
            if time.monotonic() > end:
                # It may be closed by its own thread meanwhile.
                with suppress(Exception):
                    its_end = os.dup(connection.connection.fileno())
                    with socket.socket(fileno=its_end) as cut:
                        cut.shutdown(socket.SHUT_RDWR)


@receiver(connection_created)
def notice_dead_clients(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let PostgreSQL find out soon that a process of a worker, or its machine, is gone."""
    if connection.vendor == "postgresql":
        # Past Django, which would count it among the queries of whoever asks first.
        with connection.connection.cursor() as cursor:
            cursor.execute(NOTICE_DEAD_CLIENTS)
            # A server on Windows, for example, cannot do it, and says so.
            with suppress(DatabaseError), connection.wrap_database_errors:
                cursor.execute(NOTICE_IN_A_QUERY)
