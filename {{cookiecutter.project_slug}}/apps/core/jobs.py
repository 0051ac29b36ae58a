"""Background jobs: functions with ``@task`` that start after the commit, never without it."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.backends.immediate import ImmediateBackend
from django.utils.crypto import get_random_string

from . import watch
from .actor import in_a_job


class TransactionalBackend(BaseTaskBackend):
    """A task backend that starts jobs after the commit of the current transaction."""

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Hand off a job in the database of ``OPTIONS["DATABASE"]``."""
        return self.hand_off(task, args, kwargs, self.options.get("DATABASE", DEFAULT_DB_ALIAS))

    @abstractmethod
    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Queue a job for the commit of the transaction in the database ``using``."""

    def ready_result(self, task: Task, args: Any, kwargs: Any, key: str = "") -> TaskResult:
        """Return the result of a job that has not started; its id is the key, or a random one.

        Raises:
            InvalidTask: when this backend cannot run the job.
            TypeError: when an argument cannot be written as JSON.
        """
        self.validate_task(task)
        return TaskResult(
            task=task,
            id=key or get_random_string(32),
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )


class AfterCommitBackend(TransactionalBackend, ImmediateBackend):
    """Runs jobs in the same process, right after the commit.

    Django's ``ImmediateBackend`` runs them before the commit, even if a rollback follows. The
    failure of a job is logged, and stops neither the request nor other jobs.
    """

    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Run the job after the commit in the database ``using``."""
        result = self.ready_result(task, args, kwargs)

        def run() -> None:
            watched = watch.watcher.job(task.module_path) if watch.watcher else nullcontext()
            with in_a_job(), watched:
                self._execute_task(result)  # type: ignore[attr-defined]

        transaction.on_commit(run, using=using, robust=True)
        return result


def autocommit[Function: Callable[..., Any]](function: Function) -> Function:
    """Mark a job, below ``@task``, that manages its own transactions.

    It may run again from its first step, so every step must be safe to repeat.
    """
    function.autocommit = True  # type: ignore[attr-defined]
    return function


def hand_off(
    job: Task, /, *args: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any
) -> TaskResult | None:
    """Queue a job for the commit of the current transaction, and drop it on a rollback.

    Args:
        job: a function with ``django.tasks.task``. A parameter ``using`` of it gets the alias.
        args, kwargs: the job's arguments, JSON-serialisable: primary keys, not instances.
        using: the alias of the database whose transaction decides.

    Returns:
        The result of the job, or None if the backend is no ``TransactionalBackend``.
    """
    kwargs |= database_argument(job.func, len(args) + job.takes_context, using)
    backend = job.get_backend()
    if isinstance(backend, TransactionalBackend):
        return backend.hand_off(job, args, kwargs, using)
    transaction.on_commit(lambda: job.enqueue(*args, **kwargs), using=using, robust=True)
    return None


def hand_off_many(
    job: Task, arguments: Iterable[Sequence[Any]], using: str = DEFAULT_DB_ALIAS
) -> None:
    """Queue a job many times like ``hand_off``, in one statement if the backend can.

    ``arguments`` has the positional ones of each call, for example ``[(pk,) for pk in pks]``.
    """
    backend = job.get_backend()
    if hasattr(backend, "hand_off_many"):
        backend.hand_off_many(job, arguments, using)
        return
    for each in arguments:
        hand_off(job, *each, using=using)


@lru_cache  # reading a signature is slow
def database_argument(function: Callable[..., Any], given: int, using: str) -> dict[str, str]:
    """Return the argument ``using``, if a function has it after ``given`` positional ones."""
    parameters = inspect.signature(function).parameters
    by_position = [each.name for each in parameters.values() if each.kind != each.KEYWORD_ONLY]
    return {"using": using} if "using" in parameters.keys() - by_position[:given] else {}
