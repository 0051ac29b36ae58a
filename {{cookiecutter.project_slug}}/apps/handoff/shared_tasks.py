"""The hand-off of Celery tasks, which are declared with ``shared_task``."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from apps.core.jobs import database_argument

from . import celery_app  # noqa: F401 - shared tasks use this Celery app from now on
from .worker import HandedOffTask


def hand_off(task: Any, *args: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> str:
    """Write a call of a Celery task into the outbox, in the current transaction.

    ``task.delay(...)`` and ``task.apply_async(...)`` do the same in the default database.

    Args:
        task: a function decorated with ``celery.shared_task``, in ``tasks.py`` of an app. If it
            has a parameter ``using``, it gets the alias.
        args: its positional arguments, JSON-serialisable.
        using: the alias of the database into which the call is written.
        kwargs: its keyword arguments.

    Returns:
        The id of the task in Celery.

    Raises:
        TypeError: if it is not a task, or an argument cannot be written as JSON.
    """
    if not isinstance(task, HandedOffTask):
        raise TypeError(f"{task!r} is not a task: write hand_off(add, 1, 2), without a signature.")
    kwargs |= database_argument(task.run, len(args), using)
    return str(task.apply_async(args, kwargs, using=using).id)
