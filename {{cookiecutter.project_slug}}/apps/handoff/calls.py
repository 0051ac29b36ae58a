"""What a call of a Celery task does: it writes a row, and sends nothing."""

import json
import logging
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from celery import Task as CeleryTask
from celery.exceptions import Retry
from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.utils import timezone
from django.utils.json import normalize_json

from apps.core.actor import acting_as

from .backend import put
from .models import time_ordered_id

logger = logging.getLogger(__name__)

# The id of the message whose job is running, to tell it from a plain call of its function in itself.
running_message: ContextVar[str] = ContextVar("running_message", default="")

# What ``apply_async`` takes: more would be ignored, since only a key goes to the broker.
CALL_OPTIONS: Final = ("countdown", "eta", "queue", "priority", "producer", "connection")
REFUSED: Final = (
    "{} cannot be handed off with {}: there are countdown, eta, queue and priority."
    " Chains and links: hand the next task off in this one."
)


class OutboxTask(CeleryTask):
    """A Celery task whose every call is a row of the outbox."""

    abstract = True
    backend_alias = ""  # of the job in ``TASKS``; empty for a task of Celery's own

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, *,
        using: str = DEFAULT_DB_ALIAS, **options: Any,
    ) -> Any:  # fmt: skip
        """Write a call into the outbox, in the transaction at hand; ``delay`` comes here too.

        Args:
            args: the positional arguments, JSON-serialisable.
            kwargs: the keyword arguments.
            task_id: the id, a UUID; made up when it is left out.
            using: the alias of the database whose transaction decides.
            options: ``countdown`` or ``eta``, ``queue`` and ``priority``.

        Raises:
            TypeError: for another option, or an argument that cannot be written as JSON.
            ValueError: when no worker reads the queue.
        """
        options = {name: value for name, value in options.items() if value is not None}
        own = {"expires"} if getattr(self, "expires", None) is not None else set()
        if refused := sorted((own | set(options)) - set(CALL_OPTIONS)):
            raise TypeError(REFUSED.format(self.name, ", ".join(refused)))
        due_at = options.get("eta")
        if "countdown" in options:
            due_at = timezone.now() + timedelta(seconds=options["countdown"])
        key = UUID(task_id) if task_id else time_ordered_id()
        put(
            using,
            [(key, json.dumps([normalize_json(list(args or ())), normalize_json(kwargs or {})]))],
            name=self.name,
            backend=self.backend_alias,
            queue=self.queue_of(args, kwargs, options.get("queue")),
            priority=options.get("priority", getattr(self, "priority", None)) or 0,
            **({"due_at": due_at} if due_at else {}),
        )
        return self.AsyncResult(str(key))

    def queue_of(self, args: Any, kwargs: Any, queue: str | None) -> str:
        """Return the queue of a call: its own, the task's, that of the routes, or the default.

        Raises:
            ValueError: when no worker reads it.
        """
        from .celery_app import app

        routed = app.amqp.router.route({}, self.name, args or (), kwargs or {}).get("queue")
        found = queue or getattr(self, "queue", None) or routed
        name = getattr(found, "alias", None) or found or app.conf.task_default_queue
        try:
            app.amqp.queues[name]
        except KeyError:
            raise ValueError(
                f"No worker reads the queue {name!r}: add it to TASKS['default']['QUEUES']."
            ) from None
        return str(name)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Do what ``delay`` does: a row counts only when its transaction is committed."""
        return self.apply_async(args, kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Do what ``apply_async`` does."""
        return self.apply_async(*args, **kwargs)

    def adopt(self, *args: Any, **kwargs: Any) -> None:
        """Write a message that came without a row, as ``celery call`` sends it, into the outbox."""
        key = self.request.id
        try:
            with acting_as(None, source="job"), transaction.atomic():
                self.apply_async(args, kwargs, task_id=key)
        except IntegrityError:
            pass  # it was delivered before
        except Exception:
            logger.exception("The message %s for %s cannot be handed off.", key, self.name)

    def retry(
        self, args: Any = None, kwargs: Any = None, exc: Any = None, throw: bool = True,
        eta: datetime | None = None, countdown: float | None = None,
        max_retries: int | None = None, **options: Any,
    ) -> Retry:  # fmt: skip
        """Ask for another attempt, with the same arguments: nothing is sent, the row waits.

        Raises:
            Retry: which is this method's way to end the attempt.
            TypeError: for other arguments or options.
            Exception: ``exc``, after the last attempt.
        """
        request: Any = self.request
        if running_message.get() != request.id or request.called_directly:
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)
        if args is not None or kwargs is not None or options:
            raise TypeError(f"{self.name} can be retried with the same arguments and options only.")
        limit = self.max_retries if max_retries is None else max_retries
        if limit is not None and request.retries >= limit:
            request.update(for_good=True)
            raise exc or self.MaxRetriesExceededError(f"{self.name} was retried {limit} times.")
        pause = self.default_retry_delay if countdown is None else countdown
        if eta is not None:
            pause = max((eta - timezone.now()).total_seconds(), 0)
        retry = Retry(exc=exc, when=pause)  # type: ignore[arg-type]
        if throw:
            raise retry
        return retry
