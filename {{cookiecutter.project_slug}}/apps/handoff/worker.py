"""The worker's side: it runs a job as its actor, and writes the receipt.

It also writes the end of attempts whose process cannot: it was killed, or never started.
"""

import logging
import time
from contextlib import suppress
from typing import Any, Final, cast

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]
from celery import Task as CeleryTask
from celery import exceptions, signals
from celery.exceptions import Ignore, Retry
from celery.worker.request import Request
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.tasks import Task, TaskContext
from django.tasks.signals import task_finished, task_started

from apps.core.actor import acting_as

from .backend import declared_jobs, option, outboxes, result_of, send_signal
from .limits import limited, reset
from .receipts import LONGEST_IN_LOG, Run, SupersededError, actor_named, described
from .relay import Ended, Relay, relays
from .shared_tasks import OutboxTask

logger = logging.getLogger(__name__)

FOREIGN: Final = (
    "The message %s for %s belongs to no job in the outbox, and is ignored: hand jobs off with"
    " enqueue or delay, and give each project at the same broker another CELERY_QUEUE_PREFIX."
)

DEATHS: Final = (exceptions.WorkerLostError, exceptions.TimeLimitExceeded)
# The seconds for which a worker that stops waits for its relays.
STOPPING: Final = 5
# Seconds between two messages while the database is away. Else all would be thrown away at once.
PAUSE: Final = 1


def row_named(headers: Any) -> tuple[str, str]:
    """Return the database and the key that a message names, or empty texts."""
    match (headers or {}).get("handoff"):
        case [str(alias), str(key)] if alias in outboxes():
            return alias, key
    return "", ""


class RowRequest(Request):
    """A message of which only the key counts. Others could start tasks, and limit their time."""

    def __init__(self, message: Any, **options: Any) -> None:
        headers = {name: message.headers.get(name) for name in ("id", "task", "handoff")}
        options |= {"headers": {**headers, "ignore_result": True}, "decoded": True}
        super().__init__(message, **options | {"body": ((), {}, {})})


class HandedOffTask(OutboxTask):
    """A Celery task that runs as its row says, once, and writes its receipt."""

    abstract = True
    autocommit = False
    Request = RowRequest  # type: ignore[assignment]

    @property
    def time_limit(self) -> int | None:  # type: ignore[override]
        """The option for this task. A limit in its declaration replaces this property."""
        return option(self.backend_alias, "TIME_LIMIT", self.name)  # type: ignore[no-any-return]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run once, as the actor; commit the task's writes together with its receipt.

        Raises ``Ignore`` for a duplicate or unknown message, and ``Retry`` before another attempt.
        """
        request: Any = self.request
        message = (request.headers or {}).get("handoff")
        is_direct = message is None and request.is_eager | request.called_directly
        if is_direct or request.get("row"):  # a running job may call its own function
            return super().__call__(*args, **kwargs)
        run = self.started(message)
        row = run.row
        request.update(row=row, id=str(row.pk), retries=row.attempts - 1, for_good=None)
        request.args, request.kwargs = row.loaded_arguments()
        with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
            return self.run_with_receipt(run, request.args, request.kwargs)

    def started(self, message: Any) -> Run:
        """Start the job that a message names; raise Ignore if it must not be started here."""
        request: Any = self.request
        run, (database, key) = None, row_named(request.headers)
        try:
            if database:
                with limited(database):
                    run = Run.of(database, key)
                    if run and run.row.name == self.name and run.start(request.hostname or ""):
                        return run
        except DatabaseError as error:
            logger.error("The job %s could not be started (%s). It is sent again.", message, error)
            time.sleep(PAUSE)
        else:
            if run is None or run.row.name != self.name:
                logger.warning(FOREIGN, message or request.id, self.name)
        raise Ignore

    def run_with_receipt(self, run: Run, args: Any, kwargs: Any) -> Any:
        """Run a task that has been started; see ``__call__``."""
        autocommit = self.autocommit or self.name in option(run.row.backend, "AUTOCOMMIT")
        try:
            send_signal(task_started, run.row)
            with run.with_heartbeat() if autocommit else run.in_transaction():
                value = None
                with suppress(Ignore):  # a Celery task ends itself with it, without an error
                    value = self.run(*args, **kwargs)
                run.finish(value, has_receipt=not autocommit)
        except SupersededError:
            raise Ignore from None
        except BaseException as error:
            # The signal that ends this process raises SystemExit. The worker sees the end.
            if isinstance(error, KeyboardInterrupt) or terminate_handler_fired():
                raise
            raise self.failed(run, error) from error
        send_signal(task_finished, run.row)
        return value

    def failed(self, run: Run, error: Any) -> Exception:
        """Mark an attempt as failed; return the exception for Celery."""
        request: Any = self.request
        connection = connections[run.database]
        if not (request.is_eager and connection.in_atomic_block):  # as in a test
            reset(connection)
        # A False of ``retry`` counts only if the task has not gone on after its call.
        cause, pause, for_good = error, None, request.for_good or None
        if isinstance(error, Retry):
            cause, pause, for_good = error.exc or error, cast("Any", error.when), request.for_good
        try:
            with limited(run.database):
                pause = run.fail(cause, pause=pause, for_good=for_good)
        except SupersededError:
            logger.exception("The job %s (%s) was done before this error.", self.name, run.row.pk)
            return Ignore()
        told = described(cause)
        if pause is None:
            # Celery would end the worker after a MemoryError, and log a long text in full.
            is_safe = isinstance(cause, Exception) and not isinstance(cause, MemoryError)
            return cause if is_safe and len(told) < LONGEST_IN_LOG else RuntimeError(told)
        return Retry(f"in {pause:.1f} s, after {told}", exc=cause, when=pause)  # type: ignore[arg-type]


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


def register_jobs() -> None:
    """Register a Celery task for every declared job, with the name of the job."""
    from .celery_app import app

    for name, job in declared_jobs.items():
        if getattr(app.tasks.get(name), "job", None) is job:
            continue
        own = {"autocommit": getattr(job.func, "autocommit", False), "backend_alias": job.backend}
        app.register_task(type(job.name, (JobTask,), {"name": name, "job": job, **own})())
    for task in app.tasks.values():
        if not isinstance(task, HandedOffTask):
            raise ImproperlyConfigured(f"{task.name} needs app.Task of apps.handoff.celery_app.")


@signals.worker_ready.connect
def start_relays(**kwargs: Any) -> None:
    """Start the relays as threads of the worker. Celery can send this signal several times."""
    if not relays:
        relays.extend(Relay(alias) for alias in outboxes())
        for relay in relays:
            relay.start()


@signals.worker_shutting_down.connect
def stop_relays(**kwargs: Any) -> None:
    """Stop the relays when the worker is about to stop."""
    for relay in relays:
        relay.stop()


@signals.worker_shutdown.connect
def await_relays(**kwargs: Any) -> None:
    """Wait until the relays have finished their current messages."""
    end = time.monotonic() + STOPPING
    for relay in relays:
        relay.join(max(0, end - time.monotonic()))


def end_attempt(headers: Any, worker: str, error: BaseException, for_good: Any = None) -> None:
    """Let the relay mark an attempt as ended, from the worker's main process.

    The loop of the worker cannot wait for the row. The process of the job may still lock it until
    the loop kills it. A worker can end its own attempts only, and ignores foreign messages.
    """
    alias, key = row_named(headers)
    for relay in relays:
        if relay.alias == alias:
            relay.ended.append(Ended(key, worker, error, for_good, time.monotonic()))


@signals.task_failure.connect
def report_death(sender: CeleryTask, exception: BaseException, **kwargs: Any) -> None:
    """Mark a job whose process was killed, by a time limit or otherwise."""
    request: Any = sender.request
    # Celery sends this signal twice for a time limit. The second one does not name the job.
    if isinstance(exception, DEATHS) and request.id is not None:
        end_attempt(request.headers, request.hostname, exception)


@signals.task_revoked.connect
def report_revocation(request: Any, **kwargs: Any) -> None:
    """Mark a job that was revoked."""
    error = exceptions.TaskRevokedError("revoked")
    end_attempt(request.headers, request.hostname, error, for_good=True)


@signals.task_unknown.connect
def report_unknown(sender: Any, message: Any, name: str, **kwargs: Any) -> None:
    """Mark a job that this worker does not know. After a deployment another worker may know it."""
    end_attempt(message.headers, sender.hostname, exceptions.NotRegistered(name))
