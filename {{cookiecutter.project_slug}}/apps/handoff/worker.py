"""What a worker does with a job: run it as its actor, and write its receipt."""

import json
import logging
import time
from contextlib import closing, suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from typing import Any, Final
from uuid import UUID

from celery import Task as CeleryTask
from celery.exceptions import (
    Ignore,
    NotRegistered,
    Retry,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)
from celery.signals import (
    task_failure,
    task_postrun,
    task_prerun,
    task_revoked,
    task_unknown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    IntegrityError,
    OperationalError,
    close_old_connections,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist
from django.utils.json import normalize_json

from apps.core.actor import acting_as
from apps.core.jobs import commits_for_itself

from .backend import declared_jobs, option, put
from .broker import is_embedded
from .limits import limited
from .models import Status, time_ordered_id
from .receipts import LONGEST_IN_LOG, NO_JSON, Run, SupersededError, actor_named, shortened
from .relay import Relay, busy
from .relay import relays as all_relays

logger = logging.getLogger(__name__)

FOREIGN: Final = (
    "The message %s for %s belongs to no job in the outbox, and is ignored. The job was deleted,"
    " or another project uses the same broker: give each its CELERY_QUEUE_PREFIX."
)

# The id of the message whose job is running, to tell it from a plain call of its function in itself.
_running: ContextVar[str] = ContextVar("running", default="")

relays: Final[list[Relay]] = []

# Seconds between two looks at whether a job whose process was killed is still locked.
LOCKED_POLL: Final = 0.25
# Seconds that a worker which stops waits for its relays.
STOPPING: Final = 5
_stopping: Final = Event()

# A database server that is cut off from the worker's machine otherwise keeps the lock on a
# running job for hours.
NOTICE_DEAD_CLIENTS: Final = (
    "SELECT set_config('tcp_keepalives_idle', '30', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
# The query of a process that was killed otherwise goes on to its end, and keeps the lock.
NOTICE_IN_A_QUERY: Final = "SELECT set_config('client_connection_check_interval', '2s', false)"

# What ``apply_async`` takes: more would be ignored, since only a key goes to the broker.
CALL_OPTIONS: Final = ("countdown", "eta", "queue", "priority", "producer", "connection")


class HandedOffTask(CeleryTask):
    """A Celery task whose every call is a row of the outbox, and which writes its receipt."""

    abstract = True
    autocommit = False
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
        from .celery_app import app

        options = {name: value for name, value in options.items() if value is not None}
        limits = [name for name in ("expires",) if getattr(self, name, None) is not None]
        if refused := sorted({*options, *limits} - set(CALL_OPTIONS)):
            raise TypeError(
                f"{self.name} cannot be handed off with {', '.join(refused)}: there are countdown,"
                " eta, queue and priority. Chains and links: hand the next task off in this one."
            )
        route = app.amqp.router.route({}, self.name, args or (), kwargs or {})
        queue = options.get("queue") or getattr(self, "queue", None) or route.get("queue")
        name = getattr(queue, "alias", None) or queue or app.conf.task_default_queue
        try:
            app.amqp.queues[name]
        except KeyError:
            raise ValueError(
                f"No worker reads the queue {name!r}: add it to TASKS['default']['QUEUES']."
            ) from None
        due_at = options.get("eta")
        if "countdown" in options:
            due_at = timezone.now() + timedelta(seconds=options["countdown"])
        key = UUID(task_id) if task_id else time_ordered_id()
        put(
            using,
            [(key, json.dumps([normalize_json(list(args or ())), normalize_json(kwargs or {})]))],
            name=self.name,
            backend=self.backend_alias,
            queue=name,
            priority=options.get("priority", getattr(self, "priority", None)) or 0,
            **({"due_at": due_at} if due_at else {}),
        )
        return self.AsyncResult(str(key))

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Do what ``delay`` does: a row counts only when its transaction is committed."""
        return self.apply_async(args, kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Do what ``apply_async`` does."""
        return self.apply_async(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run once, as the actor; commit what the task writes together with its receipt.

        Raises:
            Ignore: when the message is a duplicate or unknown, so that nothing must be done.
            Retry: when the task failed and will be tried again.
            Exception: the task's own, after the last attempt.
        """
        request: Any = self.request
        message = (request.headers or {}).get("handoff")
        if _running.get() == request.id or (
            message is None and request.is_eager | request.called_directly
        ):
            return super().__call__(*args, **kwargs)
        if message is None:
            self.adopt(*args, **kwargs)
            raise Ignore
        run = self.started(message)
        row = run.row
        request.update(args=None, kwargs=None, retries=row.attempts - 1)
        request.args, request.kwargs = row.loaded_arguments()
        token = _running.set(request.id)
        try:
            with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
                return self.run_with_receipt(run, request.args, request.kwargs)
        finally:
            _running.reset(token)

    def started(self, message: Any) -> Run:
        """Start the job that a message names, as its row says.

        Raises:
            Ignore: when there is no such row, it is another job's, or it must not be started.
        """
        request: Any = self.request
        try:
            database, key = message
            with limited(database):
                run = Run.of(database, key)
                if run is not None and run.row.name == self.name:
                    if run.start(request.hostname or ""):
                        return run
                    raise Ignore
        except DatabaseError as error:
            logger.error("The job %s could not be started (%s). It is sent again.", message, error)
        except (TypeError, ValueError, ConnectionDoesNotExist):
            logger.warning(FOREIGN, message, self.name)
        else:
            logger.warning(FOREIGN, message, self.name)
        raise Ignore

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
        if _running.get() != request.id or request.called_directly:
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

    def run_with_receipt(self, run: Run, args: Any, kwargs: Any) -> Any:
        """Run a task that has been started; see ``__call__``."""
        autocommit = self.autocommit or self.name in option(run.row.backend, "AUTOCOMMIT")
        try:
            self.tell_start()
            with run.with_heartbeat() if autocommit else run.in_transaction():
                try:
                    value = self.run(*args, **kwargs)
                except Ignore:
                    # Celery's way to say that the task has seen to everything itself.
                    value = None
                run.finish(value)
        except SupersededError:
            raise Ignore from None
        except Exception as error:
            raise self.failed(run, error) from error
        self.tell_end(value)
        return value

    def failed(self, run: Run, error: Exception) -> Exception:
        """Write down that an attempt has failed; return what tells Celery so."""
        connection = connections[run.database]
        if not connection.in_atomic_block:  # as in a test
            # A database that went away meanwhile is asked anew.
            connection.close_if_unusable_or_obsolete()
        cause, pause = error, None
        if isinstance(error, Retry):
            cause = error.exc or error
            # Of Celery's own kinds only ``retry`` makes one, in seconds.
            pause = error.when if isinstance(error.when, (int, float)) else None
        for_good = bool(getattr(self.request, "for_good", False))
        try:
            with limited(run.database):
                pause = run.fail(cause, pause=pause, for_good=for_good)
        except SupersededError:
            logger.exception(
                "After the job %s (id %s) was done, there was an error.", self.name, run.pk
            )
            return Ignore()
        told = shortened(repr(cause), LONGEST_IN_LOG)
        if pause is None:
            # A MemoryError Celery would take for one of the worker's own, and end the worker.
            is_fit = not isinstance(cause, MemoryError) and told == repr(cause)
            return cause if is_fit else RuntimeError(told)
        return Retry(f"in {pause:.1f} s, after {told}", exc=cause, when=pause)  # type: ignore[arg-type]

    def tell_start(self) -> None:
        """Tell whoever listens that the task starts."""

    def tell_end(self, value: Any) -> None:
        """Tell whoever listens that the task has succeeded."""


class JobTask(HandedOffTask):
    """A Celery task that runs the Django job of the same name."""

    abstract = True
    job: Task

    # Celery then mentions a failure in one line: django.tasks logs it with its traceback.
    throws = (Exception,)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job once, whether it was handed off or not."""
        if self.job.takes_context:
            args = (TaskContext(task_result=self.result(TaskResultStatus.RUNNING)), *args)
        return self.job.call(*args, **kwargs)

    def tell_start(self) -> None:
        """Send ``task_started``."""
        result = self.result(TaskResultStatus.RUNNING)
        task_started.send(type(self.job.get_backend()), task_result=result)

    def tell_end(self, value: Any) -> None:
        """Send ``task_finished``."""
        result = self.result(TaskResultStatus.SUCCESSFUL)
        # What is no JSON has been mentioned already.
        with suppress(*NO_JSON):
            object.__setattr__(result, "_return_value", normalize_json(value))
        task_finished.send(type(self.job.get_backend()), task_result=result)

    def result(self, status: TaskResultStatus) -> TaskResult:
        """Return how the job at hand stands, as far as a message tells.

        ``worker_ids`` has one entry for each attempt, earlier ones named like this one.
        """
        request: Any = self.request
        now = timezone.now()
        return TaskResult(
            task=self.job,
            id=request.headers["handoff"][1],
            status=status,
            enqueued_at=None,
            started_at=now,
            last_attempted_at=now,
            finished_at=now if status == TaskResultStatus.SUCCESSFUL else None,
            args=request.args,
            kwargs=request.kwargs,
            backend=self.job.backend,
            errors=[],
            worker_ids=[request.hostname or ""] * (request.retries + 1),
        )


def register_jobs() -> None:
    """Give every declared job a Celery task of its own name, for logs and events to show."""
    from .celery_app import app

    for name, job in declared_jobs.items():
        if getattr(app.tasks.get(name), "job", None) is job:
            continue
        attributes = {
            "name": name,
            "job": job,
            "autocommit": commits_for_itself(job),
            "backend_alias": job.backend,
            "time_limit": option(job.backend, "TIME_LIMIT", name),
            "__module__": job.func.__module__,
            "__doc__": job.func.__doc__,
        }
        app.register_task(type(job.name, (JobTask,), attributes)())


def end_attempt(
    headers: Any, worker: str, error: BaseException, *, for_good: bool = False
) -> Thread | None:
    """Write down, from outside of its process, that an attempt has ended.

    Args:
        headers: those of its message; nothing happens for a job that was not handed off.
        worker: the name of the worker, which may only end what it runs itself.
        error: why it has ended.
        for_good: whether the job must not be tried again.

    Returns:
        The thread that writes it: the process may still hold its lock, and is killed when the
        worker's loop goes on.
    """
    message = (headers or {}).get("handoff")
    if message is None:
        return None
    database, key = message
    lock = Lock()

    def record() -> None:
        busy.append(lock)
        end: float | None = None
        try:
            while True:
                with lock, closing(connections[database]):
                    run = Run.of(database, key)
                    if run is None:
                        return
                    end = end or time.monotonic() + run.lease.total_seconds()
                    if recorded(run):
                        return
                # PostgreSQL keeps the lock of a dead process until its query ends. Nothing may
                # wait for that meanwhile, and a worker that is about to stop need not.
                if time.monotonic() > end or _stopping.wait(LOCKED_POLL):
                    raise OperationalError(f"The job {key} is still locked.")
        except Exception:
            logger.exception("The job %s will be sent again when its time is over.", key)
        finally:
            busy.remove(lock)

    def recorded(run: Run) -> bool:
        with suppress(SupersededError):
            try:
                # In case it has ended before it was started.
                if run.row.status == Status.RUNNING and run.row.worker != worker:
                    return True
                if run.row.status == Status.SENT:
                    run.start(worker)
                run.fail_when_free(error, for_good=for_good)
            except OperationalError:
                return False
        return True

    thread = Thread(target=record, name=f"end of {key}", daemon=True)
    thread.start()
    return thread


@task_failure.connect
def report_death(sender: CeleryTask, exception: BaseException, **kwargs: Any) -> None:
    """Write down that the process of a job has been killed, by a time limit or otherwise."""
    request: Any = sender.request
    # Celery tells of a time limit twice, the second time without naming the job.
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)) and request.id is not None:
        end_attempt(request.headers, request.hostname, exception)


@task_revoked.connect
def report_revocation(request: Any, **kwargs: Any) -> None:
    """Write down that somebody has revoked a job."""
    end_attempt(request.headers, request.hostname, TaskRevokedError("revoked"), for_good=True)


@task_unknown.connect
def report_unknown(sender: Any, message: Any, name: str, **kwargs: Any) -> None:
    """Write down that this worker does not know a job; after a deployment another may."""
    end_attempt(message.headers, sender.hostname, NotRegistered(name))


@task_prerun.connect
@task_postrun.connect
def check_connections(sender: CeleryTask, **kwargs: Any) -> None:
    """Keep connections to databases from job to job as from request to request."""
    if not sender.request.is_eager:
        close_old_connections()


@receiver(connection_created)
def notice_dead_clients(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let PostgreSQL find out soon that a process of a worker, or its machine, is gone."""
    if connection.vendor == "postgresql":
        # Past Django, which would count it among the queries of whoever asks first.
        with connection.connection.cursor() as cursor:
            cursor.execute(NOTICE_DEAD_CLIENTS)
            # A server on Windows, for example, cannot do it, and says so.
            with suppress(DatabaseError), connection.wrap_database_errors:
                cursor.execute(NOTICE_IN_A_QUERY)


@worker_ready.connect
def start_relays(**kwargs: Any) -> None:
    """Run the relays in the worker, as threads; Celery says more than once that it is ready."""
    wanted = all(option(alias, "RELAY_IN_WORKER") for alias in settings.TASKS)
    if not relays and (wanted or is_embedded()):
        relays.extend(all_relays())
        for relay in relays:
            relay.start()


@worker_shutting_down.connect
def stop_relays(**kwargs: Any) -> None:
    """Send nothing any more when the worker is about to stop."""
    _stopping.set()
    for relay in relays:
        relay.stop()


@worker_shutdown.connect
def await_relays(**kwargs: Any) -> None:
    """Let the relays write down what they have sent."""
    end = time.monotonic() + STOPPING
    for relay in relays:
        relay.join(max(0, end - time.monotonic()))
