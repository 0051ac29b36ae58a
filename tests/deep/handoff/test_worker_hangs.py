"""A real worker whose database or children do not behave: it goes on, answers and stops."""

# Fixtures of another file are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings

from .servers import URLS, remove, why_away
from .test_worker import DEADLINE, environment_of, new_database, program, text, wait_for

# So many children are killed, one after the other, before the jobs that show that all is well.
# Another one takes the place of each after some seconds; the template's tests/test_faults.py does
# it twenty times.
KILLS = 5
JOBS = 4


def children(pid: int) -> list[int]:
    """List the processes that a worker has started."""
    listed = subprocess.run(  # noqa: S603
        ["pgrep", "-P", str(pid)],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(child) for child in listed.stdout.split()]


def replace_one(pid: int, log: Path) -> None:
    """Kill a child of a worker, and wait until it has another one."""
    gone = children(pid)[0]
    os.kill(gone, signal.SIGKILL)
    wait_for(lambda: len(set(children(pid)) - {gone}) == 2, log)


def command(queue: str) -> tuple[str, ...]:
    """Return the command of a worker that reads a queue."""
    celery = ("-m", "celery", "-A", "apps.handoff", "worker", "-Q", queue)
    return (*celery, "-n", f"{queue}@localhost", "-c", "2", "--without-mingle")


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Hold a lock on the outbox, as a migration does."""
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE handoff_handoff IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def test_children_that_are_killed_leave_a_worker_that_works(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Idle ones, who once took the lock of their common queue along."""
    queue, log, notes = f"test-{uuid4()}", tmp_path / "log", tmp_path / "notes"
    environment = environment_of("memory://", new_database(), queue)
    produce = ("-m", "apps.handoff.tests.deep.producer", str(notes), queue, "note_once")
    with program(*command(queue), environment=environment, output=log) as worker:
        wait_for(lambda: "ready." in text(log), log)
        for _ in range(KILLS):
            replace_one(worker.pid, log)
        for _ in range(JOBS):
            with program(*produce, environment=environment) as producing:
                assert producing.wait(DEADLINE) == 0
        wait_for(lambda: len(text(notes).splitlines()) == JOBS, log)
        worker.terminate()
        assert worker.wait(DEADLINE) == 0


def test_a_statement_that_hangs_is_told_and_stops_nothing(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        pytest.skip("Nothing but SQLite's own timeout locks there.")
    if away := why_away(URLS["redis"]):
        assert os.environ.get("REQUIRE_SERVICES") != "1", away
        pytest.skip(away)
    queue, log, pong = f"test-{uuid4()}", tmp_path / "log", tmp_path / "pong"
    database = new_database()
    environment = environment_of(URLS["redis"], database, queue)
    ping = ("-m", "celery", "-A", "apps.handoff", "inspect", "ping", "-d", f"{queue}@localhost")
    try:
        with program(*command(queue), environment=environment, output=log) as worker:
            wait_for(lambda: "ready." in text(log), log)
            with locked(database):
                wait_for(lambda: "cannot be read" in text(log), log)
                # A new process is made while the relay may be in the middle of a statement.
                replace_one(worker.pid, log)
                with program(*ping, environment=environment, output=pong) as pinging:
                    assert pinging.wait(DEADLINE) == 0
                worker.terminate()
                assert worker.wait(DEADLINE) == 0
    finally:
        remove(URLS["redis"], queue)
