"""How attempts end whose process cannot say so itself: it was killed, or never began."""

import logging
import time
from contextlib import closing, suppress
from threading import Event, Lock, Thread
from typing import Any, Final

from celery import Task as CeleryTask
from celery.exceptions import NotRegistered, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure, task_revoked, task_unknown
from django.db import OperationalError, connections

from .limits import connect_with_limit
from .models import Status
from .receipts import Run, SupersededError
from .relay import busy

logger = logging.getLogger(__name__)

# Seconds between two looks at whether a job whose process was killed is still locked.
LOCKED_POLL: Final = 0.25
# Set when the worker is about to stop.
stopping: Final = Event()


class End(Thread):
    """Writes down, from outside of its process, that an attempt has ended.

    It is a thread, since the process may still hold its lock, and is killed when the worker's
    loop goes on. ``worker`` is the name of the worker, which may only end what it runs itself.
    """

    def __init__(
        self, message: list[str], worker: str, error: BaseException, *, for_good: bool = False
    ) -> None:
        self.database, self.key = message
        super().__init__(name=f"end of {self.key}", daemon=True)
        self.worker, self.error, self.for_good = worker, error, for_good

    def run(self) -> None:
        """Try until it is written, for as long as the lease of the job at most."""
        lock, start = Lock(), time.monotonic()
        busy.append(lock)
        try:
            while True:
                with lock, closing(connections[self.database]):
                    connect_with_limit(self.database)
                    run = Run.of(self.database, self.key)
                    if run is None or self.is_written(run):
                        return
                # PostgreSQL keeps the lock of a dead process until its query ends. Nothing may
                # wait for that meanwhile, and a worker that is about to stop need not.
                over = time.monotonic() > start + run.lease.total_seconds()
                if over or stopping.wait(LOCKED_POLL):
                    raise OperationalError(f"The job {self.key} is still locked.")
        except Exception:
            logger.exception("The job %s will be sent again when its time is over.", self.key)
        finally:
            busy.remove(lock)

    def is_written(self, run: Run) -> bool:
        """Write it down; say whether nothing is left to do."""
        if run.row.status == Status.SENT:  # it has ended before it was started
            run.start(self.worker)
        if run.row.worker != self.worker:
            return True
        with suppress(SupersededError):
            try:
                run.fail_when_free(self.error, for_good=self.for_good)
            except OperationalError:
                return False
        return True


def end_attempt(headers: Any, worker: str, error: BaseException, **more: bool) -> End | None:
    """Start an ``End``; nothing happens for a message that is none of the outbox's."""
    message = (headers or {}).get("handoff")
    if message is None:
        return None
    end = End(message, worker, error, **more)
    end.start()
    return end


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
