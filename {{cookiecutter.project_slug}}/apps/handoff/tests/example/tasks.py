"""Jobs that note in a file who ran them and how often."""

import os
import signal
import time
from pathlib import Path

from asgiref.sync import sync_to_async
from celery import shared_task
from celery.app.task import Task as CeleryTask
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.tasks import TaskContext, task

from apps.core.actor import current_actor
from apps.core.jobs import autocommit


def note(path: str, text: str, attempt: int) -> None:
    """Append ``text actor attempt`` to the file."""
    actor = current_actor()
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{text} {actor.get_username() if actor else 'nobody'} {attempt}\n")


def write(username: str) -> None:
    """Leave an effect in the database, which a second time would be refused."""
    get_user_model().objects.create(username=username)


@task(takes_context=True)
def record(context: TaskContext, path: str, text: str) -> None:
    """Note this run."""
    note(path, text, context.attempt)


@task
async def record_later(path: str, text: str) -> None:
    """Note this run, from a coroutine."""
    await sync_to_async(note)(path, text, 1)


@task(takes_context=True)
def fail(context: TaskContext, path: str, *, times: int) -> None:
    """Raise in the first attempts, then note the run."""
    if context.attempt <= times:
        raise ValueError(f"wrong in attempt {context.attempt}")
    note(path, "failed before", context.attempt)


@task(takes_context=True)
def die(context: TaskContext, path: str) -> None:
    """Kill the process in the first attempt, as a lack of memory would; then note the run."""
    if context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    note(path, "killed before", context.attempt)


@task(takes_context=True)
def linger(context: TaskContext, path: str) -> None:
    """Write and wait for the whole worker to be killed; in the next attempt do the same anew."""
    write("lingering")
    note(path, "lingers", context.attempt)
    while context.attempt == 1:
        time.sleep(1)


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
def echo(value: object) -> object:
    """Return the argument."""
    return value


@task
def exhaust(path: str) -> None:
    """Need more memory than there is, each time."""
    raise MemoryError


@task
def add(first: int, second: int) -> int:
    """Return a sum."""
    return first + second


@task(takes_context=True)
def write_and_fail(context: TaskContext, times: int) -> None:
    """Write, hand off, and then raise in the first attempts."""
    write("written once")
    add.enqueue(1, context.attempt)
    if context.attempt <= times:
        raise ValueError("after the write")


@task
def commit_and_fail() -> None:
    """Write in a transaction of its own, and then raise."""
    with transaction.atomic():
        write("written in between")
    raise ValueError("after the commit")


@task
@autocommit
def commit_for_itself_and_fail() -> None:
    """Do the same, and say itself that it commits step by step."""
    commit_and_fail.call()


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
def fail_after_the_commit() -> None:
    """Write, and have something fail once that is committed."""
    write("written before")

    def fail() -> None:
        raise ValueError("after the commit")

    transaction.on_commit(fail)


@shared_task
def shared(path: str, text: str) -> str:
    """Note this run, as a task of Celery's own."""
    note(path, text, 1)
    return text


@shared_task(bind=True)
def retry_shared(self: CeleryTask, path: str) -> None:
    """Ask Celery for another attempt, twice, then note the run."""
    if self.request.retries < 2:
        self.retry(countdown=0)
    note(path, "retried", self.request.retries + 1)
