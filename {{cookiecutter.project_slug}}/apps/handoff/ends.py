"""The end of attempts whose process cannot report it: it was killed, or never started."""

import logging
import time
from contextlib import closing, suppress
from threading import Event, Lock, Thread
from typing import Any, Final

from celery import Task as CeleryTask
from celery.exceptions import NotRegistered, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, task_revoked, task_unknown
from django.db import OperationalError, connections, transaction

from .limits import connect_with_limit, cut_when_silent
from .models import Status
from .receipts import Run, SupersededError
from .relay import fork_locks

logger = logging.getLogger(__name__)

# Seconds between two tries while the job of a killed process is still locked.
LOCKED_POLL: Final = 0.25
# Set when the worker is about to stop.
stopping: Final = Event()


def end_attempt(
    headers: Any, worker: str, error: BaseException, for_good: bool = False
) -> Thread | None:
    """Mark an attempt as ended, from the worker's main process.

    This needs a thread. The process of the job may still hold its lock, and the worker's loop
    must go on to kill it. A message that does not belong to the outbox is ignored.

    Args:
        headers: the headers of the message.
        worker: the name of the worker. It can end its own attempts only.
        error: the reason of the end.
        for_good: whether there must be no other attempt.
    """
    message = (headers or {}).get("handoff")
    if message is None:
        return None
    end = Thread(target=_end, args=(*message, worker, error, for_good), daemon=True)
    end.start()
    return end


def _end(database: str, key: str, *how: Any) -> None:
    """Try until the end is written, but not for longer than the lease of the job."""
    lock, start = Lock(), time.monotonic()
    fork_locks.append(lock)
    try:
        while True:
            with lock, closing(connections[database]), cut_when_silent(database):
                connect_with_limit(database)
                run = Run.of(database, key)
                if run is None or _is_written(run, *how):
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


def _is_written(run: Run, worker: str, error: BaseException, for_good: bool) -> bool:
    """Write the end of an attempt; return False if its row is still locked."""
    if run.row.status == Status.SENT:  # it ended before it was started
        run.start(worker)
    if run.row.worker != worker:
        return True
    try:
        with suppress(SupersededError), transaction.atomic(using=run.database):
            list(run.running_row().select_for_update(nowait=True).values_list("pk"))
            run.fail(error, for_good=for_good)
    except OperationalError:
        return False
    return True


@task_failure.connect
def report_death(sender: CeleryTask, exception: BaseException, **kwargs: Any) -> None:
    """Mark a job whose process was killed, by a time limit or otherwise."""
    request: Any = sender.request
    # Celery sends this signal twice for a time limit. The second one does not name the job.
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)) and request.id is not None:
        end_attempt(request.headers, request.hostname, exception)


@task_revoked.connect
def report_revocation(request: Any, **kwargs: Any) -> None:
    """Mark a job that was revoked."""
    end_attempt(request.headers, request.hostname, TaskRevokedError("revoked"), for_good=True)


@task_unknown.connect
def report_unknown(sender: Any, message: Any, name: str, **kwargs: Any) -> None:
    """Mark a job that this worker does not know. After a deployment another worker may know it."""
    end_attempt(message.headers, sender.hostname, NotRegistered(name))
