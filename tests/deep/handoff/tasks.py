"""More jobs: some that kill their process, and some whose effects are hard to keep apart."""

import os
import signal
import time
from asyncio import CancelledError
from contextlib import suppress

from asgiref.sync import sync_to_async
from celery import shared_task
from celery.app.task import Task as CeleryTask
from django.db import DatabaseError, connection, transaction
from django.tasks import TaskContext, task

from ..example.tasks import *  # noqa: F403
from ..example.tasks import note, write


@task
async def record_later(path: str, text: str) -> None:
    """Note this run, from a coroutine."""
    await sync_to_async(note)(path, text, 1)


@task(takes_context=True)
def die(context: TaskContext, path: str) -> None:
    """Kill the process in the first attempt, as a lack of memory would; then note the run."""
    if context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    note(path, "killed before", context.attempt)


@task(takes_context=True)
def linger(context: TaskContext, path: str) -> None:
    """Write and wait for the whole worker to be killed; in the next attempt do the same again."""
    write("lingering")
    note(path, "lingers", context.attempt)
    while context.attempt == 1:
        time.sleep(1)


@task
def echo(value: object) -> object:
    """Return the argument."""
    return value


@task
def return_what_is_no_json(path: str) -> object:
    """Note the run and return what cannot be written as JSON."""
    note(path, "no json", 1)
    return object()


@task
def return_what_contains_itself(path: str) -> list[object]:
    """Note the run and return what cannot be written as JSON, since it would have no end."""
    note(path, "a circle", 1)
    circle: list[object] = []
    circle.append(circle)
    return circle


@task
def exhaust(path: str) -> None:
    """Need more memory than there is, each time."""
    raise MemoryError


@task
def close_the_connection() -> None:
    """Write and close the connection."""
    write("written before closing")
    connection.close()


@task
def roll_back() -> None:
    """Write and have it rolled back, without raising."""
    write("rolled back")
    transaction.set_rollback(True)


@task
def ignore_an_error_of_the_database() -> None:
    """Write, and catch an error after which PostgreSQL commits nothing."""
    write("lost")
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM a_table_that_is_missing")


@task
def fail_after_the_commit() -> None:
    """Write, and have something fail once that is committed."""
    write("written before")

    def fail() -> None:
        raise ValueError("after the commit")

    transaction.on_commit(fail)


@shared_task(bind=True)
def retry_shared(self: CeleryTask, path: str) -> None:
    """Ask Celery for another attempt, twice, then note the run."""
    if self.request.retries < 2:
        self.retry(countdown=0)
    note(path, "retried", self.request.retries + 1)


@shared_task(bind=True)
def tell_id(self: CeleryTask) -> str | None:
    """Return the id that a task sends to another service as a key."""
    return self.request.id


@shared_task(bind=True)
def retry_in(self: CeleryTask, path: str, seconds: float) -> None:
    """Ask Celery for another attempt after so many seconds."""
    self.retry(countdown=seconds)


@shared_task(bind=True, max_retries=2)
def retry_twice(self: CeleryTask) -> None:
    """Fail each time, and allow two more attempts."""
    self.retry(exc=ValueError("each time"), countdown=0)


@shared_task(bind=True, max_retries=12)
def retry_often(self: CeleryTask) -> None:
    """Fail each time, and allow twelve more attempts."""
    self.retry(exc=ValueError("each time"), countdown=0)


@shared_task
def named(task: str) -> None:
    """Take an argument with the name that Celery's own functions use."""


@task
def echo_job(job: str) -> str:
    """Return an argument with the name that the kit's own functions use."""
    return job


@task
def end(kind: str) -> None:
    """Raise what is no usual exception."""
    raise {"exit": SystemExit, "cancelled": CancelledError, "generator": GeneratorExit}[kind]("why")


@task
def fail_together() -> None:
    """Fail with a group of exceptions, and a note about it."""
    error = ExceptionGroup("both failed", [ValueError("one"), KeyError("two")])
    error.add_note("a note")
    raise error


class UntoldError(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


@task
def fail_untold() -> None:
    """Fail with an error that cannot be told."""
    raise UntoldError


@task
def leave_a_transaction_open() -> None:
    """Write, and enter a block without leaving it."""
    write("never committed")
    transaction.atomic().__enter__()


@shared_task(bind=True)
def retry_otherwise(self: CeleryTask) -> None:
    """Ask for another attempt with other arguments."""
    self.retry(args=("other",))


@task
def fail_at_length(text: str) -> None:
    """Fail with a long text."""
    raise ValueError(text)


@task
def write_slowly(path: str) -> None:
    """Note this run, wait for the worker to be stopped, and write."""
    note(path, "writes slowly", 1)
    time.sleep(4)
    write("written slowly")


@task
def note_once(path: str) -> None:
    """Note this run."""
    note(path, "noted", 1)


@shared_task
def count_down(path: str, number: int) -> None:
    """Note a number and, by calls of itself, all smaller ones."""
    note(path, str(number), 1)
    if number:
        count_down(path, number - 1)
