"""The worker's side: it runs a job as its actor, and writes the receipt."""

import logging
import time
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, cast

from celery import Task as CeleryTask
from celery.exceptions import Ignore, Retry
from celery.signals import (
    task_postrun,
    task_prerun,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from django.db import DatabaseError, close_old_connections, connections
from django.tasks import Task, TaskContext
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist

from apps.core.actor import acting_as

from . import ends
from .backend import declared_jobs, option, outboxes, result_of
from .calls import OutboxTask, running_message
from .limits import limited
from .models import Handoff
from .receipts import LONGEST_IN_LOG, Run, SupersededError, actor_named, shortened
from .relay import Relay

logger = logging.getLogger(__name__)

FOREIGN: Final = (
    "The message %s for %s belongs to no job in the outbox, and is ignored: hand jobs off with"
    " enqueue or delay, and give each project at the same broker another CELERY_QUEUE_PREFIX."
)

relays: Final[list[Relay]] = []

# The seconds for which a worker that stops waits for its relays.
STOPPING: Final = 5


class HandedOffTask(OutboxTask):
    """A Celery task that runs as its row says, once, and writes its receipt."""

    abstract = True
    autocommit = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run once, as the actor; commit the task's writes together with its receipt.

        Raises:
            Ignore: if the message is a duplicate or unknown.
            Retry: if the task has failed and will be tried again.
            Exception: the error of the task, after the last attempt.
        """
        request: Any = self.request
        message = (request.headers or {}).get("handoff")
        if running_message.get() == request.id or (
            message is None and request.is_eager | request.called_directly
        ):
            return super().__call__(*args, **kwargs)
        run = self.started(message)
        row = run.row
        request.update(retries=row.attempts - 1, for_good=False)
        request.args, request.kwargs = row.loaded_arguments()
        token = running_message.set(request.id)
        try:
            with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
                return self.run_with_receipt(run, request.args, request.kwargs)
        finally:
            running_message.reset(token)

    def started(self, message: Any) -> Run:
        """Start the job that a message names.

        Raises:
            Ignore: if there is no such row, or another task's, or it must not be started.
        """
        request: Any = self.request
        run = None
        try:
            # A message can have any content.
            with suppress(TypeError, ValueError, ConnectionDoesNotExist):
                database, key = message
                with limited(database):
                    run = Run.of(database, key)
                    if run and run.row.name == self.name and run.start(request.hostname or ""):
                        return run
        except DatabaseError as error:
            logger.error("The job %s could not be started (%s). It is sent again.", message, error)
        else:
            if run is None or run.row.name != self.name:
                logger.warning(FOREIGN, message or request.id, self.name)
        raise Ignore

    def run_with_receipt(self, run: Run, args: Any, kwargs: Any) -> Any:
        """Run a task that has been started; see ``__call__``."""
        autocommit = self.autocommit or self.name in option(run.row.backend, "AUTOCOMMIT")
        try:
            self.send_started(run.row)
            with run.with_heartbeat() if autocommit else run.in_transaction():
                try:
                    value = self.run(*args, **kwargs)
                except Ignore:
                    # With this exception a Celery task ends itself without an error.
                    value = None
                run.finish(value, has_receipt=not autocommit)
        except SupersededError:
            raise Ignore from None
        except Exception as error:
            raise self.failed(run, error) from error
        self.send_finished(run.row)
        return value

    def failed(self, run: Run, error: Exception) -> Exception:
        """Mark an attempt as failed; return the exception for Celery."""
        connection = connections[run.database]
        if not connection.in_atomic_block:  # as in a test
            # The connection may have been lost.
            connection.close_if_unusable_or_obsolete()
        cause, pause = error, None
        if isinstance(error, Retry):
            cause, when = error.exc or error, cast("float | datetime | None", error.when)
            if isinstance(when, datetime):
                when = max((when - timezone.now()).total_seconds(), 0)
            pause = when
        request: Any = self.request
        try:
            with limited(run.database):
                pause = run.fail(cause, pause=pause, for_good=request.for_good)
        except SupersededError:
            logger.exception(
                "After the job %s (id %s) was done, there was an error.", self.name, run.row.pk
            )
            return Ignore()
        told = shortened(repr(cause), LONGEST_IN_LOG)
        if pause is None:
            # Celery would end the worker after a MemoryError, and log a long text in full.
            is_safe = not isinstance(cause, MemoryError) and told == repr(cause)
            return cause if is_safe else RuntimeError(told)
        return Retry(f"in {pause:.1f} s, after {told}", exc=cause, when=pause)  # type: ignore[arg-type]

    def send_started(self, row: Handoff) -> None:
        """Send the signal for a start. Celery tasks have none."""

    def send_finished(self, row: Handoff) -> None:
        """Send the signal for a success. Celery tasks have none."""


class JobTask(HandedOffTask):
    """A Celery task that runs the Django job of the same name."""

    abstract = True
    job: Task

    # Celery then logs a failure in one line. django.tasks logs it with its traceback.
    throws = (Exception,)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job once, whether it was handed off or not."""
        if self.job.takes_context:
            request: Any = self.request
            args = (TaskContext(task_result=result_of(request.row, self.job)), *args)
        return self.job.call(*args, **kwargs)

    def send_started(self, row: Handoff) -> None:
        """Send ``task_started``."""
        self.request.update(row=row)
        task_started.send(type(self.job.get_backend()), task_result=result_of(row, self.job))

    def send_finished(self, row: Handoff) -> None:
        """Send ``task_finished``."""
        task_finished.send(type(self.job.get_backend()), task_result=result_of(row, self.job))


def register_jobs() -> None:
    """Register a Celery task for every declared job, with the name of the job."""
    from .celery_app import app

    for name, job in declared_jobs.items():
        if getattr(app.tasks.get(name), "job", None) is job:
            continue
        attributes = {
            "name": name,
            "job": job,
            "autocommit": getattr(job.func, "autocommit", False),
            "backend_alias": job.backend,
            "time_limit": option(job.backend, "TIME_LIMIT", name),
            "__module__": job.func.__module__,
            "__doc__": job.func.__doc__,
        }
        app.register_task(type(job.name, (JobTask,), attributes)())


@task_prerun.connect
@task_postrun.connect
def check_connections(sender: CeleryTask, **kwargs: Any) -> None:
    """Close connections to databases that are too old or broken, as before a request."""
    if not sender.request.is_eager:
        close_old_connections()


@worker_ready.connect
def start_relays(**kwargs: Any) -> None:
    """Start the relays as threads of the worker. Celery can send this signal several times."""
    if not relays:
        relays.extend(Relay(alias) for alias in outboxes())
        for relay in relays:
            relay.start()


@worker_shutting_down.connect
def stop_relays(**kwargs: Any) -> None:
    """Stop the relays when the worker is about to stop."""
    ends.stopping.set()
    for relay in relays:
        relay.stop()


@worker_shutdown.connect
def await_relays(**kwargs: Any) -> None:
    """Wait until the relays have finished their current messages."""
    end = time.monotonic() + STOPPING
    for relay in relays:
        relay.join(max(0, end - time.monotonic()))
