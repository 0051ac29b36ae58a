"""Celery tasks, which are declared with ``shared_task``: each call writes a row of the outbox."""

import inspect
import json
from datetime import datetime, timedelta
from typing import Any, Final

from celery import Task as CeleryTask
from celery.exceptions import QueueNotFound, Retry
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

# The database keeps small integers.
PRIORITIES: Final = range(-(2**15), 2**15)


class OutboxTask(CeleryTask):
    """A Celery task. Each call of it is a row of the outbox."""

    abstract = True
    backend_alias = ""  # the alias in ``TASKS``, or empty for a Celery task

    def apply_async(  # type: ignore[override]
        self, args: Any = (), kwargs: Any = None, *, using: str = DEFAULT_DB_ALIAS,
        countdown: float | None = None, eta: datetime | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Write a call into the outbox of a database, in the current transaction.

        ``options`` can have ``queue`` and ``priority``, in place of those of the task or its route.

        Raises:
            TypeError: for another option, also in a route, a naive time, or arguments that the
                task does not have or that cannot be written as JSON.
            QueueNotFound: if no worker reads the queue, as it is not in ``TASKS``.
        """
        args, kwargs = args or (), kwargs or {}
        if not isinstance(args, list | tuple):
            raise TypeError(f"The arguments {args!r} are no list or tuple.")
        if self.typing:
            inspect.signature(self.run).bind(*args, **kwargs)
        if countdown is not None:
            eta = timezone.now() + timedelta(seconds=countdown)
        key = time_ordered_id()
        insert(
            using,
            [(key, json.dumps([normalize_json(list(args)), normalize_json(kwargs)]))],
            name=self.name,
            backend=self.backend_alias,
            due_at=eta and aware(eta),
            **self._place(args, kwargs, options),
        )
        return self.AsyncResult(str(key))

    def _place(self, args: Any, kwargs: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return queue and priority, as the call, the task or its route says."""
        for name in ("queue", "expires"):
            options.setdefault(name, getattr(self, name, None))
        router: Any = self.app.amqp.router
        route = router.route(options, self.name, args, kwargs, self)
        queue: Any = route.pop("queue", None) or self.app.amqp.default_queue
        priority = route.pop("priority", None)
        priority = self.priority or 0 if priority is None else priority
        # Only a key goes to the broker, so other options would have no effect.
        if refused := sorted(name for name, value in route.items() if value is not None):
            raise TypeError(REFUSED.format(self.name, ", ".join(refused)))
        if queue.name not in self.app.amqp.queues:
            raise QueueNotFound(f"Queue {queue.name!r} missing from task_queues")
        if priority not in PRIORITIES:
            raise TypeError(f"The priority {priority!r} is no small whole number.")
        return {"queue": queue.alias or queue.name, "priority": int(priority)}

    # These two need no code: a rollback removes the row.
    delay_on_commit = CeleryTask.delay
    apply_async_on_commit = apply_async

    def retry(
        self, args: Any = None, kwargs: Any = None, exc: Any = None, throw: bool = True,
        eta: datetime | None = None, countdown: float | None = None,
        max_retries: int | None = None, **options: Any,
    ) -> Retry:  # fmt: skip
        """Ask for another attempt by raising ``Retry``. The row waits, and nothing is sent.

        Other arguments or options and naive times are refused with a ``TypeError``.
        """
        if args is not None or kwargs is not None or options or not throw:
            raise TypeError(f"{self.name} can be retried with the same arguments and options only.")
        if eta is not None:
            countdown = max((aware(eta) - timezone.now()).total_seconds(), 0)
        request: Any = self.request
        limit = self.max_retries if max_retries is None else max_retries
        request.for_good = limit is not None and request.retries >= limit
        if exc and (request.for_good or request.called_directly):
            raise exc
        if request.for_good:
            raise self.MaxRetriesExceededError(f"{self.name} was retried {limit} times.")
        pause: Any = self.default_retry_delay if countdown is None else countdown
        raise Retry(exc=exc, when=pause)


def aware(time: Any) -> datetime:
    """Return a time that has a zone; refuse anything else with a ``TypeError``."""
    if not isinstance(time, datetime) or timezone.is_naive(time):
        raise TypeError(f"{time!r} is no time with a zone, such as timezone.now() returns.")
    return time


def hand_off(task: Any, /, *args: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> str:
    """Write a call of a Celery task into the outbox, and return its id in Celery.

    ``task.delay(...)`` does the same in the default database. If the task has a parameter
    ``using``, it gets the alias of the database. For errors see ``OutboxTask.apply_async``.
    """
    if not isinstance(task, OutboxTask):
        raise TypeError(f"{task!r} is not a task: write hand_off(add, 1, 2), without a signature.")
    kwargs |= database_argument(task.run, len(args), using)
    return str(task.apply_async(args, kwargs, using=using).id)
