"""What a worker does with a job: run it as its actor, and write its receipt."""

import json
import logging
import time
from contextlib import closing, suppress
from contextvars import ContextVar
from threading import Thread
from typing import Any, Final

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
from django.db import DatabaseError, OperationalError, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json

from apps.core.actor import acting_as
from apps.core.jobs import commits_for_itself

from .backend import declared_jobs, option
from .receipts import NO_JSON, Run, SupersededError, actor_named
from .relay import Relay, at_rest

logger = logging.getLogger(__name__)

# The key of the job that is running, to tell it from a plain call of its function in itself.
_running: ContextVar[str] = ContextVar("running", default="")

relay: Final = Relay()

# Seconds between two looks at whether a job whose process was killed is still locked.
LOCKED_POLL: Final = 0.25

# A database server that is cut off from the worker's machine otherwise keeps the lock on a
# running job for hours.
NOTICE_DEAD_CLIENTS: Final = (
    "SELECT set_config('tcp_keepalives_idle', '30', false),"
    " set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
# The query of a process that was killed otherwise goes on to its end, and keeps the lock.
NOTICE_IN_A_QUERY: Final = "SELECT set_config('client_connection_check_interval', '2s', false)"


class HandedOffTask(CeleryTask):
    """A Celery task that writes receipts when it was handed off, and else is like any other."""

    abstract = True
    autocommit = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run once, as the actor; commit what the task writes together with its receipt.

        Raises:
            Ignore: when the message is an old one, so that nothing must be done.
            Retry: when the task failed and will be tried again.
            Exception: the task's own, after the last attempt.
        """
        request: Any = self.request
        message = (request.headers or {}).get("handoff")
        if message is None or _running.get() == request.id:
            return super().__call__(*args, **kwargs)
        run = Run.of(request.id, message)
        if not run.start(request.hostname or ""):
            raise Ignore
        token = _running.set(request.id)
        try:
            with acting_as(
                actor_named(message["actor"]), source="job", request_id=message["request_id"]
            ):
                # The relay sends them as the text that the outbox holds.
                request.args, request.kwargs = json.loads(*args)
                return self.run_with_receipt(run, request.args, request.kwargs)
        finally:
            _running.reset(token)

    def run_with_receipt(self, run: Run, args: Any, kwargs: Any) -> Any:
        """Run a task that has been started; see ``__call__``."""
        autocommit = self.autocommit or self.name in option(run.backend, "AUTOCOMMIT")
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
        # What ``self.retry`` has sent to the broker finds the job waiting, and is ignored.
        pause = error.when if isinstance(error, Retry) and isinstance(error.when, int) else None
        cause = (isinstance(error, Retry) and error.exc) or error
        try:
            pause = run.fail(cause, pause=pause)
        except SupersededError:
            logger.exception(
                "After the job %s (id %s) was done, there was an error.", self.name, run.pk
            )
            return Ignore()
        if pause is None:
            # Which Celery takes for one of the worker's own, and ends the worker.
            return RuntimeError(repr(cause)) if isinstance(cause, MemoryError) else cause
        return Retry(exc=cause, when=round(pause, 1))  # type: ignore[arg-type]

    def tell_start(self) -> None:
        """Tell whoever listens that the task starts."""

    def tell_end(self, value: Any) -> None:
        """Tell whoever listens that the task has succeeded."""


class JobTask(HandedOffTask):
    """A Celery task that runs the Django job of the same name."""

    abstract = True
    job: Task

    # Taken off the broker when it is done: a worker then holds no jobs back that another one has
    # time for. What a dead process leaves behind, the outbox sends again.
    acks_late = True
    reject_on_worker_lost = False
    retry_on_worker_lost = False
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
            id=request.id,
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
            "__module__": job.func.__module__,
            "__doc__": job.func.__doc__,
        }
        app.register_task(type(job.name, (JobTask,), attributes)())


def end_attempt(
    key: str, headers: Any, error: BaseException, *, for_good: bool = False
) -> Thread | None:
    """Write down, from outside of its process, that an attempt has ended.

    Args:
        key: the id of the job.
        headers: those of its message; nothing happens for a job that was not handed off.
        error: why it has ended.
        for_good: whether the job must not be tried again.

    Returns:
        The thread that writes it: the process may still hold its lock, and is killed when the
        worker's loop goes on.
    """
    message = (headers or {}).get("handoff")
    if message is None:
        return None
    run = Run.of(key, message)
    end = time.monotonic() + run.lease.total_seconds()

    def record() -> None:
        try:
            while not recorded():
                pass
        except Exception:
            logger.exception("The job %s will be sent again when its time is over.", key)

    def recorded() -> bool:
        with suppress(SupersededError):
            try:
                with at_rest, closing(connections[run.database]):
                    run.start("")  # in case it has ended before that
                    run.fail_when_free(error, for_good=for_good)
            except OperationalError:
                # PostgreSQL keeps the lock of a dead process until its query ends. Nothing may
                # wait for that meanwhile, and a worker that is about to stop need not.
                if time.monotonic() > end or relay.stopping.wait(LOCKED_POLL):
                    raise
                return False
        return True

    thread = Thread(target=record, name=f"end of {key}")
    thread.start()
    return thread


@task_failure.connect
def report_death(sender: CeleryTask, exception: BaseException, **kwargs: Any) -> None:
    """Write down that the process of a job has been killed, by a time limit or otherwise."""
    request: Any = sender.request
    # Celery tells of a time limit twice, the second time without naming the job.
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)) and request.id is not None:
        end_attempt(request.id, request.headers, exception)


@task_revoked.connect
def report_revocation(request: Any, **kwargs: Any) -> None:
    """Write down that somebody has revoked a job."""
    end_attempt(request.id, request.headers, TaskRevokedError("revoked"), for_good=True)


@task_unknown.connect
def report_unknown(message: Any, name: str, id: str, **kwargs: Any) -> None:
    """Write down that this worker does not know a job; after a deployment another may."""
    end_attempt(id, message.headers, NotRegistered(name))


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
def start_relay(**kwargs: Any) -> None:
    """Run the relay in the worker, in a thread; Celery says more than once that it is ready."""
    if not relay.running and all(option(alias, "RELAY_IN_WORKER") for alias in settings.TASKS):
        relay.start()


@worker_shutting_down.connect
def stop_relay(**kwargs: Any) -> None:
    """Send nothing any more when the worker is about to stop."""
    relay.stop()


@worker_shutdown.connect
def await_relay(**kwargs: Any) -> None:
    """Let the relay write down what it has sent."""
    relay.join()
