"""Jobs that note in a file who ran them and how often."""

import os
import signal
from pathlib import Path

from asgiref.sync import sync_to_async
from django.tasks import TaskContext, task

from apps.core.actor import current_actor


def note(path: str, text: str, attempt: int) -> None:
    """Append ``text actor attempt`` to the file."""
    actor = current_actor()
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{text} {actor.get_username() if actor else 'nobody'} {attempt}\n")


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


@task
def return_what_is_no_json(path: str) -> object:
    """Note the run and return what cannot be written as JSON."""
    note(path, "no json", 1)
    return object()
