"""The task backend that publishes jobs to Celery after the commit."""

import logging
from contextvars import Context, copy_context
from typing import Any, Final

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.tasks import Task, TaskResult
from django.tasks.signals import task_enqueued
from django.utils import timezone

from apps.core.actor import current_actor, current_request_id
from apps.core.jobs import TransactionalBackend

from .broker import PATIENCE, broker_name, broker_url

logger = logging.getLogger(__name__)

# Every job that was declared, by the path of its function: what a worker can run.
declared_jobs: Final[dict[str, Task]] = {}

NOT_PUBLISHED: Final = (
    "The job %s (id %s) was not published (%s), so no worker will run it. Start the broker (%s)"
    " or correct CELERY_BROKER_URL, then hand the job off by hand in manage.py shell: %s"
)


class CeleryBackend(TransactionalBackend):
    """Publishes a job to Celery when the transaction at hand is committed.

    ``OPTIONS``: ``RETRIES`` after a failure (default 8) and ``BACKOFF``, the seconds before
    the first of them (default 5), which double each time. A priority and ``run_after`` are
    refused, because not every broker keeps its word on them; results are not kept.
    """

    supports_async_task = True

    def validate_task(self, task: Task) -> None:
        """Refuse a job that cannot be run, and remember the others for the worker."""
        super().validate_task(task)
        declared_jobs.setdefault(task.module_path, task)

    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Publish the job when the transaction of the database ``using`` is committed."""
        result = self.ready_result(task, args, kwargs)
        # Who acts now is looked up when the job is published, so a rollback costs no query.
        context = copy_context()

        def publish() -> None:
            self.publish(result, context)

        transaction.on_commit(publish, using=using, robust=True)
        return result

    def publish(self, result: TaskResult, context: Context) -> None:
        """Send a job to the broker, in the name of whoever acts in the context.

        A failure is logged and never raised: what the job belongs to is committed.
        """
        # Celery is slow to import, and most commands publish nothing.
        from kombu.exceptions import OperationalError

        try:
            self._send(result, context)
        except (OperationalError, ImproperlyConfigured) as error:
            # The broker is away or unknown: where that came to light helps nobody.
            logger.error(*_not_published(result, error))
        except Exception as error:
            logger.exception(*_not_published(result, error))
        else:
            object.__setattr__(result, "enqueued_at", timezone.now())
            task_enqueued.send(type(self), task_result=result)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Refuse a broker that is unknown and queues that no worker would read."""
        errors: list[CheckMessage] = []
        try:
            broker_url()
        except ImproperlyConfigured as error:
            errors.append(Error(str(error), id="handoff.E001"))
        if not self.queues:
            sentence = f"TASKS[{self.alias!r}]['QUEUES'] is empty: a worker would read nothing."
            hint = "Name the queues, for example ['default', 'reports'], or leave QUEUES out."
            errors.append(Error(sentence, hint=hint, id="handoff.E002"))
        return errors

    def _send(self, result: TaskResult, context: Context) -> None:
        from .celery import app

        actor = context.run(current_actor)
        app.send_task(
            result.task.module_path,
            result.args,
            result.kwargs,
            task_id=result.id,
            queue=result.task.queue_name,
            # A user who has just been deleted has no key any more.
            headers={
                "actor": str(actor.pk) if actor and actor.pk is not None else None,
                "request_id": context.run(current_request_id),
            },
            ignore_result=True,
            # Not kept waiting: one more try, for a connection that was closed meanwhile.
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0},
            confirm_timeout=PATIENCE,
        )


def call_of(result: TaskResult) -> str:
    """Write a job as a call: ``apps.orders.tasks.send(5, copy=True)``."""
    arguments = [repr(value) for value in result.args]
    arguments += [f"{name}={value!r}" for name, value in result.kwargs.items()]
    return f"{result.task.module_path}({', '.join(arguments)})"


def by_hand(result: TaskResult) -> str:
    """Write the line for ``manage.py shell`` that hands a job off once more."""
    module, _, call = call_of(result).partition(f".{result.task.name}(")
    return f"from {module} import {result.task.name}; {result.task.name}.enqueue({call}"


def _not_published(result: TaskResult, error: Exception) -> tuple[str, ...]:
    return NOT_PUBLISHED, call_of(result), result.id, str(error), broker_name(), by_hand(result)
