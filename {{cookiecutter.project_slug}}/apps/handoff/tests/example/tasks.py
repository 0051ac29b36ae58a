"""Jobs that note in a file who ran them and how often."""

from pathlib import Path

from celery import shared_task
from django.contrib.auth import get_user_model
from django.db import transaction
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


@task(takes_context=True)
def fail(context: TaskContext, path: str, *, times: int) -> None:
    """Raise in the first attempts, then note the run."""
    if context.attempt <= times:
        raise ValueError(f"wrong in attempt {context.attempt}")
    note(path, "failed before", context.attempt)


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
    """Write in a separate transaction, and then raise."""
    with transaction.atomic():
        write("written in between")
    raise ValueError("after the commit")


@task
@autocommit
def commit_for_itself_and_fail() -> None:
    """Do the same, and say itself that it commits step by step."""
    commit_and_fail.call()


@shared_task
def shared(path: str, text: str) -> str:
    """Note this run, as a task of Celery's own."""
    note(path, text, 1)
    return text
