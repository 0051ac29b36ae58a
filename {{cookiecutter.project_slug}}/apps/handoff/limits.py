"""Time limits, so that a database that hangs or goes silent does not stop relay and worker."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from threading import Thread, get_ident
from typing import Any, Final

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

# The most seconds for one statement of relay or receipts, with the wait for locks.
STATEMENT: Final = 5
# The relay reads indexes in their order. After a sudden backlog PostgreSQL would read and sort all
# of it, because the statistics are older. A pooler may give the session to others, so each of these
# ends with its transaction. With another isolation relays and receipts would refuse each other.
LIMITS: Final = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;"
    f" SET LOCAL statement_timeout='{STATEMENT}s'; SET LOCAL enable_sort=off;"
    " SET LOCAL enable_seqscan=off; SET LOCAL enable_bitmapscan=off; "
)

# Seconds without any answer, not even a timeout of the server, after which a connection is cut.
SILENCE: Final = 10

# For each thread: the time at which its connection is cut.
_watched: Final[dict[int, tuple[float, BaseDatabaseWrapper]]] = {}

# Options of libpq. With them this side notices soon that the server or the network is gone.
CLIENT: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

# Without the first, a server without a network to the worker keeps the lock on a job for hours.
# Without the second, which some servers refuse, the query of a killed process goes on and keeps it.
NOTICES: Final = (
    "SET tcp_keepalives_idle=30; SET tcp_keepalives_interval=10; SET tcp_keepalives_count=3",
    "SET client_connection_check_interval='2s'",
)


def limit_connections() -> None:
    """Let connections of this process to PostgreSQL fail soon. Options in the settings win."""
    for connection in connections.all():
        if connection.vendor == "postgresql":
            options = connection.settings_dict["OPTIONS"]
            options.update(CLIENT | options)
            options.pop("pool", None)  # processes that are forked would share its connections


@contextmanager
def limited(using: str) -> Iterator[None]:
    """Let PostgreSQL run the block in a transaction, and end its long statements with an error."""
    connection = connections[using]
    if connection.vendor != "postgresql" or connection.in_atomic_block:  # the latter in a test
        yield
        return
    with ExitStack() as watch:
        watch.enter_context(cut_when_silent(using))
        with transaction.atomic(using=using), connection.cursor() as cursor:
            transaction.on_commit(watch.close, using=using)  # callbacks may take longer
            cursor.execute(LIMITS)
            yield


@contextmanager
def cut_when_silent(using: str) -> Iterator[None]:
    """Cut the connection if the block takes too long, so that its statement fails.

    A frozen server ends no statement, but its machine still acknowledges packets.
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
    # A child process inherits the entries of its parent.
    _watched.clear()
    Thread(target=_watch, name="watch over connections", daemon=True).start()


def _watch() -> None:
    while True:
        time.sleep(1)
        for end, connection in list(_watched.values()):
            if time.monotonic() > end:
                # Its own thread may close it at the same time.
                with suppress(Exception):
                    copy = os.dup(connection.connection.fileno())
                    with socket.socket(fileno=copy) as cut:
                        cut.shutdown(socket.SHUT_RDWR)


def reset(connection: BaseDatabaseWrapper) -> None:
    """Close a connection if it is too old or broken, or if a job has left its transaction open."""
    if connection.in_atomic_block:
        connection.close()
        del connections[connection.alias]  # Django keeps it in the transaction
    else:
        connection.close_if_unusable_or_obsolete()


@receiver(connection_created)
def notice_dead_clients(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let PostgreSQL notice soon that a process of a worker, or its machine, is gone."""
    if connection.vendor == "postgresql":
        # Without Django's cursor, which would count this as a query of a request or a test.
        with connection.connection.cursor() as cursor:
            for notice in NOTICES:
                with suppress(DatabaseError), connection.wrap_database_errors:
                    cursor.execute(notice)
