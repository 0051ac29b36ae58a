"""Celery tasks, which are declared with ``shared_task``: each call writes a row of the outbox."""

import json
from datetime import datetime, timedelta
from typing import Any, Final

from celery import Task as CeleryTask
from celery.exceptions import Retry
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone
from django.utils.json import normalize_json

from apps.core.jobs import database_argument

from . import celery_app  # noqa: F401 - shared tasks use this Celery app from now on
from .backend import insert
from .models import time_ordered_id

REFUSED: Final = (
    "{} cannot be handed off with {}: there are countdown, eta, queue and priority."
    " In place of a chain or a link, let this task hand off the next one."
)


class OutboxTask(CeleryTask):
    """A Celery task. Each call of it is a row of the outbox."""

    abstract = True
    backend_alias = ""  # the alias in ``TASKS``, or empty for a Celery task

    def apply_async(  # type: ignore[override]
        self, args: Any = (), kwargs: Any = None, *, using: str = DEFAULT_DB_ALIAS,
        countdown: float | None = None, eta: datetime | None = None,
        queue: str | None = None, priority: int | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Write a call into the outbox, in the current transaction; ``delay`` uses this too.

        Args:
            args, kwargs: the arguments, JSON-serialisable.
            using: the alias of the database into which the call is written.
            countdown, eta: the seconds until the call is due, or its time.
            queue, priority: in place of those of the task.
            options: any other option is refused.

        Raises:
            TypeError: for another option, or an argument that cannot be written as JSON.
            QueueNotFound: if no worker reads the queue, as it is not in ``TASKS``.
        """
        # Only a key goes to the broker, so other options would have no effect.
        options.setdefault("expires", self.expires)
        if refused := sorted(name for name, value in options.items() if value is not None):
            raise TypeError(REFUSED.format(self.name, ", ".join(refused)))
        if countdown is not None:
            eta = timezone.now() + timedelta(seconds=countdown)
        queue = queue or getattr(self, "queue", None)
        asked = {"queue": queue} if queue else {}
        route = self.app.amqp.router.route(asked, self.name, args or (), kwargs)
        key = time_ordered_id()
        insert(
            using,
            [(key, json.dumps([normalize_json(list(args or ())), normalize_json(kwargs or {})]))],
            name=self.name,
            backend=self.backend_alias,
            queue=str(route["queue"].alias),
            priority=priority or self.priority or 0,
            **({"due_at": eta} if eta else {}),
        )
        return self.AsyncResult(str(key))

    # These two need no code: a rollback removes the row.
    delay_on_commit = CeleryTask.delay
    apply_async_on_commit = apply_async

    def retry(
        self, args: Any = None, kwargs: Any = None, exc: Any = None, throw: bool = True,
        eta: datetime | None = None, countdown: float | None = None,
        max_retries: int | None = None, **options: Any,
    ) -> Retry:  # fmt: skip
        """Ask for another attempt with the same arguments. The row waits, and nothing is sent.

        Raises:
            Retry: this ends the attempt, as in Celery.
            TypeError: for other arguments or options.
            Exception: ``exc``, after the last attempt.
        """
        if args is not None or kwargs is not None or options:
            raise TypeError(f"{self.name} can be retried with the same arguments and options only.")
        if eta is not None:
            countdown = max((eta - timezone.now()).total_seconds(), 0)
        request: Any = self.request
        limit = self.max_retries if max_retries is None else max_retries
        # Celery sends nothing itself for an eager request.
        request.update(for_good=limit is not None and request.retries >= limit, is_eager=True)
        return super().retry(None, None, exc, throw, None, countdown, max_retries)


def hand_off(task: Any, *args: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> str:
    """Write a call of a Celery task into the outbox, in the current transaction.

    ``task.delay(...)`` and ``task.apply_async(...)`` do the same in the default database.

    Args:
        task: a function decorated with ``celery.shared_task``, in ``tasks.py`` of an app. If it
            has a parameter ``using``, it gets the alias.
        args, kwargs: its arguments, JSON-serialisable.
        using: the alias of the database into which the call is written.

    Returns:
        The id of the task in Celery.

    Raises:
        TypeError: if it is not a task, or an argument cannot be written as JSON.
    """
    if not isinstance(task, OutboxTask):
        raise TypeError(f"{task!r} is not a task: write hand_off(add, 1, 2), without a signature.")
    kwargs |= database_argument(task.run, len(args), using)
    return str(task.apply_async(args, kwargs, using=using).id)
