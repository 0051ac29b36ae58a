"""The hand-off of tasks that are Celery's own, and not Django's."""

import json
from typing import Any

from celery import Task as CeleryTask
from django.db import DEFAULT_DB_ALIAS
from django.utils.json import normalize_json

from apps.core.jobs import database_argument

from .backend import put
from .celery_app import app
from .models import time_ordered_id


def hand_off(task: CeleryTask, *args: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> str:
    """Write a call of a Celery task into the outbox, in the transaction at hand.

    Args:
        task: a function decorated with ``celery.shared_task``, in ``tasks.py`` of an app. One
            that has a parameter ``using`` is given the alias too.
        args: its positional arguments, JSON-serialisable.
        using: the alias of the database whose transaction decides.
        kwargs: its keyword arguments.

    Returns:
        The id that the task will have in Celery.

    Raises:
        TypeError: when an argument cannot be written as JSON.
    """
    kwargs |= database_argument(task.run, len(args), using)
    key = time_ordered_id()
    put(
        using,
        id=key,
        name=task.name,
        backend="",
        queue=getattr(task, "queue", None) or app.conf.task_default_queue,
        priority=0,
        arguments=json.dumps([normalize_json(args), normalize_json(kwargs)]),
    )
    return str(key)
