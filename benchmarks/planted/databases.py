"""A database for one run: a file, or a database on a shared PostgreSQL server."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection


@contextmanager
def own_database(kind: str, folder: Path, server: str) -> Iterator[str]:
    """Make a database and give its URL; drop it at the end.

    Args:
        kind: ``sqlite`` or ``postgresql``.
        folder: where the file of SQLite goes.
        server: the URL of a PostgreSQL server, without a database.
    """
    if kind == "sqlite":
        yield f"sqlite:///{folder}/database.sqlite3"
        return
    import psycopg

    name = f"faults_{uuid.uuid4().hex[:12]}"
    url = urlsplit(server)
    place = f"postgresql://{url.netloc}/postgres"
    with psycopg.connect(place, autocommit=True) as connected:
        connected.execute(f'CREATE DATABASE "{name}"')
    try:
        yield f"postgres://{url.netloc}/{name}"
    finally:
        connection.close()
        with psycopg.connect(place, autocommit=True) as connected:
            connected.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def cut_connections() -> None:
    """Cut about half of the connections to the database, except our own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5"
        )
