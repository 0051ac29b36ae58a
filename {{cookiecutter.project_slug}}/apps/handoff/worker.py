"""The worker's side: it runs a job as its actor, and writes the receipt.

It also writes the end of attempts whose process cannot: it was killed, or never started.
"""

import logging
import time
from contextlib import closing, suppress
from threading import Event, Lock, Thread
from typing import Any, Final, cast

from celery import Task as CeleryTask
from celery import exceptions, signals
from celery.exceptions import Ignore, Retry
from django.db import DatabaseError, OperationalError, connections, transaction
from django.tasks import Task, TaskContext
from django.tasks.signals import task_finished, task_started
from django.utils.connection import ConnectionDoesNotExist

from apps.core.actor import acting_as

from .backend import declared_jobs, option, outboxes, result_of, send_signal
from .limits import connect_with_limit, cut_when_silent, limited
from .models import Status
from .receipts import LONGEST_IN_LOG, Run, SupersededError, actor_named, shortened
from .relay import Relay, fork_locks
from .shared_tasks import OutboxTask

logger = logging.getLogger(__name__)

FOREIGN: Final = (
    "The message %s for %s belongs to no job in the outbox, and is ignored: hand jobs off with"
    " enqueue or delay, and give each project at the same broker another CELERY_QUEUE_PREFIX."
)

relays: Final[list[Relay]] = []

DEATHS: Final = (exceptions.WorkerLostError, exceptions.TimeLimitExceeded)
# The seconds for which a worker that stops waits for its relays.
STOPPING: Final = 5
# Set when the worker is about to stop.
stopping: Final = Event()
# Seconds between two tries while the job of a killed process is still locked.
LOCKED_POLL: Final = 0.25


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
        is_direct = message is None and request.is_eager | request.called_directly
        if is_direct or request.get("row"):  # a running job may call its own function
            return super().__call__(*args, **kwargs)
        run = self.started(message)
        row = run.row
        request.update(row=row, retries=row.attempts - 1, for_good=False)
        request.args, request.kwargs = row.loaded_arguments()
        with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
            return self.run_with_receipt(run, request.args, request.kwargs)

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
            send_signal(task_started, run.row)
            with run.with_heartbeat() if autocommit else run.in_transaction():
                value = None
                with suppress(Ignore):  # a Celery task ends itself with it, without an error
                    value = self.run(*args, **kwargs)
                run.finish(value, has_receipt=not autocommit)
        except SupersededError:
            raise Ignore from None
        except Exception as error:
            raise self.failed(run, error) from error
        send_signal(task_finished, run.row)
        return value

    def failed(self, run: Run, error: Exception) -> Exception:
        """Mark an attempt as failed; return the exception for Celery."""
        connection = connections[run.database]
        if not connection.in_atomic_block:  # as in a test
            # The connection may have been lost.
            connection.close_if_unusable_or_obsolete()
        cause, pause = error, None
        if isinstance(error, Retry):
            cause, pause = error.exc or error, cast("float | None", error.when)
        request: Any = self.request
        try:
            with limited(run.database):
                pause = run.fail(cause, pause=pause, for_good=request.for_good)
        except SupersededError:
            logger.exception("The job %s (%s) was done before this error.", self.name, run.row.pk)
            return Ignore()
        told = shortened(repr(cause), LONGEST_IN_LOG)
        if pause is None:
            # Celery would end the worker after a MemoryError, and log a long text in full.
            is_safe = not isinstance(cause, MemoryError) and told == repr(cause)
            return cause if is_safe else RuntimeError(told)
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
        attributes = {
            "name": name,
            "job": job,
            "autocommit": getattr(job.func, "autocommit", False),
            "backend_alias": job.backend,
            "time_limit": option(job.backend, "TIME_LIMIT", name),
        }
        app.register_task(type(job.name, (JobTask,), attributes)())


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
    stopping.set()
    for relay in relays:
        relay.stop()


@signals.worker_shutdown.connect
def await_relays(**kwargs: Any) -> None:
    """Wait until the relays have finished their current messages."""
    end = time.monotonic() + STOPPING
    for relay in relays:
        relay.join(max(0, end - time.monotonic()))


def end_attempt(
    headers: Any, worker: str, error: BaseException, for_good: bool = False
) -> Thread | None:
    """Mark an attempt as ended, from the worker's main process.

    This needs a thread. The process of the job may still hold its lock, and the worker's loop
    must go on to kill it. A message that does not belong to the outbox is ignored.

    Args:
        headers: the headers of the message.
        worker: the name of the worker. It can end its own attempts only.
        error, for_good: see ``Run.fail``.
    """
    message = (headers or {}).get("handoff")
    if message is None:
        return None
    end = Thread(target=_end, args=(*message, worker, error, for_good), daemon=True)
    end.start()
    return end


def _end(database: str, key: str, worker: str, error: BaseException, for_good: bool) -> None:
    """Try until the end is written, but not for longer than the lease of the job."""
    lock, start = Lock(), time.monotonic()
    fork_locks.append(lock)
    try:
        while True:
            with lock, closing(connections[database]), cut_when_silent(database):
                connect_with_limit(database)
                run = Run.of(database, key)
                if run and run.row.status == Status.SENT:  # it ended before it was started
                    run.start(worker)
                if run is None or run.row.worker != worker:
                    return
                with suppress(OperationalError):  # while the row is locked
                    with suppress(SupersededError), transaction.atomic(using=database):
                        list(run.rows().select_for_update(nowait=True).values_list("pk"))
                        run.fail(error, for_good=for_good)
                    return
            # PostgreSQL keeps the lock of a dead process until its query ends. Nothing else may
            # wait for that, so ``lock`` is free here.
            over = time.monotonic() > start + run.lease.total_seconds()
            if over or stopping.wait(LOCKED_POLL):
                raise OperationalError(f"The job {key} is still locked.")
    except Exception:
        logger.exception("The job %s will be sent again when its time is over.", key)
    finally:
        fork_locks.remove(lock)


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
