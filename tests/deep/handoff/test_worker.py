"""A real worker, started with the one command, on each broker that can be reached."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings

from .servers import URLS, remove, why_away

BROKERS = ["memory", *URLS]

# Seconds after which a worker that has not done its jobs counts as broken.
DEADLINE = 120


# Where a whole worker is killed before the run: every broker would be treated the same way.
KILLED_ON = "redis"

# How many jobs fail for good.
FAILING = 2

# The last effects of all other jobs that are handed off.
EXPECTED = {
    "committed ann 1",
    "coroutine ann 1",
    "deleted nobody 1",
    "failed before ann 3",
    "killed before ann 2",
    "own account nobody 1",
    "shared ann 1",
}


@dataclass(frozen=True)
class Outcome:
    """The notes of the jobs, the log of the worker, its exit status and its answer."""

    broker: str
    notes: set[str]
    log: str
    status: int
    pong: str


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Return a function that makes a database, of the project's kind, and returns its URL.

    Each database has its own outbox, because a relay sends all jobs to its broker.
    """
    with ExitStack() as stack:
        if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
            folder = tmp_path_factory.mktemp("database")
            first = f"sqlite:///{folder}/migrated.sqlite3"

            def another() -> str:
                name = f"{uuid4()}.sqlite3"
                shutil.copy(folder / "migrated.sqlite3", folder / name)
                return f"sqlite:///{folder}/{name}"
        else:
            address = os.environ["DATABASE_URL"].rpartition("/")[0]

            def make(template: str = "template1") -> str:
                name = f"test_{uuid4().hex}"
                statement(address, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
                stack.callback(statement, address, f'DROP DATABASE "{name}" WITH (FORCE)')
                return f"{address}/{name}"

            first = make()

            def another() -> str:
                return make(first.rpartition("/")[2])

        with program("manage.py", "migrate", environment={"DATABASE_URL": first}) as migrate:
            assert migrate.wait(DEADLINE) == 0
        yield another


def statement(address: str, sql: str) -> None:
    """Run a statement for which no database must be open but the server's own."""
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(sql.encode())


def environment_of(broker: str, database: str, queue: str) -> dict[str, str]:
    """Return the environment of every program of one run."""
    return {
        "CELERY_BROKER_URL": broker,
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "apps.handoff.tests.deep.worker_settings",
        "QUEUE": queue,
    }


@pytest.fixture(scope="module")
def outcomes(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome | str]:
    """Run a worker on each broker, all at once. For a broker that is away return a sentence."""

    def outcome(broker: str, database: str) -> Outcome | str:
        folder = tmp_path_factory.mktemp(broker)
        # Of this run alone: other projects may use the same server.
        queue = f"test-{uuid4()}"
        url = URLS.get(broker, "memory://")
        environment = environment_of(url, database, queue)
        if broker not in URLS:
            return run(broker, folder, environment)
        away = why_away(url)
        if away:
            return away
        try:
            return run(broker, folder, environment)
        finally:
            remove(url, queue)

    databases = [new_database() for _ in BROKERS]
    with ThreadPoolExecutor() as executor:
        return dict(zip(BROKERS, executor.map(outcome, BROKERS, databases), strict=True))


@pytest.fixture(params=BROKERS)
def outcome(request: pytest.FixtureRequest, outcomes: dict[str, Outcome | str]) -> Outcome:
    """Return the outcome of one broker; skip the test if it is away and not required."""
    outcome = outcomes[request.param]
    if isinstance(outcome, str):
        assert os.environ.get("REQUIRE_SERVICES") != "1", outcome
        pytest.skip(outcome)
    return outcome


@contextmanager
def program(
    *arguments: str, environment: dict[str, str], output: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a Python program in the project; end it at the latest with the block."""
    with ExitStack() as stack:
        file = (
            stack.enter_context(output.open("w", encoding="utf-8"))
            if output
            else subprocess.DEVNULL
        )
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a program together with the processes that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(broker: str, folder: Path, environment: dict[str, str]) -> Outcome:
    """Run worker and producer, wait for the last effects and stop the worker."""
    notes, log, pong = folder / "notes", folder / "log", folder / "pong"
    celery, name = ("-m", "celery", "-A", "apps.handoff"), f"{environment['QUEUE']}@localhost"
    queue = environment["QUEUE"]
    # Not waiting for neighbours, whom this worker does not have.
    worker = (*celery, "worker", "-Q", queue, "-n", name, "-c", "2", "--without-mingle")
    producer = ("-m", "apps.handoff.tests.deep.producer", str(notes), queue)
    ping = (*celery, "inspect", "ping", "-d", name)
    if broker == KILLED_ON:
        with program(*worker, environment=environment, output=log) as killed:
            with program(*producer, "linger", environment=environment) as producing:
                assert producing.wait(DEADLINE) == 0
            wait_for(lambda: "lingers ann 1" in text(notes), log)
            kill(killed)
    with program(*worker, environment=environment, output=log) as working:
        with program(*producer, environment=environment) as producing:
            assert producing.wait(DEADLINE) == 0
        wait_for(lambda: "ready." in text(log), log)
        expected = EXPECTED | ({"lingers ann 2"} if broker == KILLED_ON else set())
        wait_for(lambda: set(text(notes).splitlines()) >= expected, log)
        wait_for(lambda: text(log).count("is not tried again") == FAILING, log)
        if broker in URLS:  # in memory only the worker itself could ask
            with program(*ping, environment=environment, output=pong) as pinging:
                assert pinging.wait(DEADLINE) == 0
        working.terminate()
        status = working.wait(DEADLINE)
    return Outcome(broker, set(text(notes).splitlines()), text(log), status, text(pong))


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    """Return as soon as a condition holds; fail, with the worker's log, when it never does."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"The worker has not done its jobs:\n{text(log)}"
        time.sleep(0.02)


def text(path: Path) -> str:
    """Read a file that may not be there yet."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_a_committed_job_runs_as_its_actor(outcome: Outcome) -> None:
    assert "committed ann 1" in outcome.notes
    assert "coroutine ann 1" in outcome.notes


def test_a_task_of_celery_that_was_handed_off_runs_as_its_actor(outcome: Outcome) -> None:
    assert "shared ann 1" in outcome.notes


def test_a_job_of_a_rolled_back_transaction_does_not_run(outcome: Outcome) -> None:
    assert not [note for note in outcome.notes if note.startswith("rolled back")]


def test_a_job_of_a_deleted_user_runs_as_nobody(outcome: Outcome) -> None:
    assert "deleted nobody 1" in outcome.notes


def test_a_job_of_a_user_who_deletes_their_own_account_runs_as_nobody(outcome: Outcome) -> None:
    assert "own account nobody 1" in outcome.notes


def test_a_failed_job_is_run_again_as_its_actor(outcome: Outcome) -> None:
    assert "failed before ann 3" in outcome.notes


def test_a_job_whose_process_was_killed_is_run_again(outcome: Outcome) -> None:
    assert "killed before ann 2" in outcome.notes


def test_a_job_that_has_failed_for_good_is_logged_with_its_traceback(outcome: Outcome) -> None:
    assert "apps.handoff.receipts: The job apps.handoff.tests.example.tasks.fail(" in outcome.log
    assert "failed in attempt 3 with ValueError: wrong in attempt 3" in outcome.log
    assert "ValueError: wrong in attempt 3" in outcome.log


def test_a_job_without_memory_does_not_end_the_worker(outcome: Outcome) -> None:
    assert "failed in attempt 3 with MemoryError" in outcome.log


def test_the_log_shows_the_name_of_the_job(outcome: Outcome) -> None:
    assert "Task apps.handoff.tests.example.tasks.record[" in outcome.log


def test_the_worker_answers_and_stops_in_order(outcome: Outcome) -> None:
    assert ("pong" in outcome.pong) == (outcome.broker in URLS)
    assert "Warm shutdown" in outcome.log
    assert outcome.status == 0


def test_a_job_whose_whole_worker_was_killed_is_run_again(outcome: Outcome) -> None:
    # A first effect that was not undone would not have let the second one be written.
    assert {"lingers ann 1", "lingers ann 2"} <= outcome.notes or outcome.broker != KILLED_ON
