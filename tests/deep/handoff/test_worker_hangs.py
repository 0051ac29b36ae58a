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
from celery import Celery
from django.conf import settings

from apps.handoff.models import time_ordered_id

from . import tasks
from .servers import URLS, Door, remove, why_away
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


def available(kind: str) -> str:
    """Return the URL of a broker that is a server; skip the test where it is away."""
    if away := why_away(URLS[kind]):
        assert os.environ.get("REQUIRE_SERVICES") != "1", away
        pytest.skip(away)
    return URLS[kind]


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


@contextmanager
def worker_with_new_children(
    environment: dict[str, str], folder: Path, job: str, kills: int
) -> Iterator[Callable[[], None]]:
    """Run a worker of which idle children were killed; give a function that hands a job off."""
    queue, log = environment["QUEUE"], folder / "log"
    produce = ("-m", "apps.handoff.tests.deep.producer", str(folder / "notes"), queue, job)

    def produce_one() -> None:
        with program(*produce, environment=environment) as producing:
            assert producing.wait(DEADLINE) == 0

    with program(*command(queue), environment=environment, output=log) as worker:
        wait_for(lambda: "ready." in text(log), log)
        for _ in range(kills):
            replace_one(worker.pid, log)
        yield produce_one
        worker.terminate()
        assert worker.wait(DEADLINE) == 0


def test_children_that_are_killed_leave_a_worker_that_works(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Idle ones, who once took the lock of their common queue along."""
    environment = environment_of("memory://", new_database(), f"test-{uuid4()}")
    log, notes = tmp_path / "log", tmp_path / "notes"
    with worker_with_new_children(environment, tmp_path, "note_once", KILLS) as produce_one:
        for _ in range(JOBS):
            produce_one()
        wait_for(lambda: len(text(notes).splitlines()) == JOBS, log)


def test_a_commit_in_a_new_child_outlives_the_end_of_the_worker(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """A child that inherited a connection to SQLite wrote into a file that was deleted."""
    environment = environment_of("memory://", new_database(), f"test-{uuid4()}")
    count = "from apps.accounts.models import User; print(User.objects.count())"
    with worker_with_new_children(environment, tmp_path, "write_slowly", 2) as produce_one:
        produce_one()
        wait_for(lambda: "writes slowly" in text(tmp_path / "notes"), tmp_path / "log")
    shell = ("manage.py", "shell", "-v", "0", "-c", count)
    with program(*shell, environment=environment, output=tmp_path / "count") as counting:
        assert counting.wait(DEADLINE) == 0
    assert text(tmp_path / "count").strip() == "2", "the actor, and what the job wrote"


def test_a_statement_that_hangs_is_told_and_stops_nothing(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        pytest.skip("Nothing but SQLite's own timeout locks there.")
    broker = available("redis")
    queue, log, pong = f"test-{uuid4()}", tmp_path / "log", tmp_path / "pong"
    database = new_database()
    environment = environment_of(broker, database, queue)
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
        remove(broker, queue)


def test_a_database_that_freezes_is_told_and_stops_nothing(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Its kernel still answers, so nothing but the time says so."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        pytest.skip("SQLite has no process that could freeze.")
    broker = available("redis")
    queue, log, notes = f"test-{uuid4()}", tmp_path / "log", tmp_path / "notes"
    database = new_database()
    door = Door(database)
    door.open()
    environment = environment_of(broker, door.url, queue)
    produce = ("-m", "apps.handoff.tests.deep.producer", str(notes), queue, "note_once")
    try:
        with program(*command(queue), environment=environment, output=log) as worker:
            # With a job done there is a connection that can freeze.
            direct = environment_of(broker, database, queue)
            with program(*produce, environment=direct) as producing:
                assert producing.wait(DEADLINE) == 0
            wait_for(lambda: text(notes) != "", log)
            door.freeze()
            key = str(time_ordered_id())
            sender = Celery(set_as_current=False)
            with sender.connection_for_write(broker) as connection:
                sender.send_task(
                    tasks.note_once.module_path, task_id=key, queue=queue, connection=connection,
                    headers={"handoff": ["default", key]},
                )  # fmt: skip
            wait_for(lambda: "cannot be read" in text(log), log)
            wait_for(lambda: "could not be started" in text(log), log)
            worker.terminate()
            assert worker.wait(DEADLINE) == 0
    finally:
        door.close()
        remove(broker, queue)


@pytest.mark.parametrize("kind", URLS)
def test_a_broker_that_freezes_is_told_and_stops_nothing(
    kind: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    queue, log, notes = f"test-{uuid4()}", tmp_path / "log", tmp_path / "notes"
    broker = available(kind)
    door = Door(broker)
    door.open()
    environment = environment_of(door.url, new_database(), queue)
    produce = ("-m", "apps.handoff.tests.deep.producer", str(notes), queue, "note_once")
    try:
        with program(*command(queue), environment=environment, output=log) as worker:
            wait_for(lambda: "ready." in text(log), log)
            door.freeze()
            with program(*produce, environment=environment) as producing:
                assert producing.wait(DEADLINE) == 0
            wait_for(lambda: "cannot be sent to the broker" in text(log), log)
            worker.terminate()
            assert worker.wait(DEADLINE) == 0
    finally:
        door.close()
        remove(broker, queue)
