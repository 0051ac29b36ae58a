"""Background work: jobs that start after the commit, and never without one.

A job is a function decorated with ``django.tasks.task``. ``hand_off`` queues it
for when the transaction at hand is committed. With the backends that build on
``TransactionalBackend``, a plain ``job.enqueue()`` is as safe.
"""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.backends.immediate import ImmediateBackend
from django.utils.crypto import get_random_string

from . import watch
from .actor import in_a_job


class TransactionalBackend(BaseTaskBackend):
    """A task backend that honours the transaction in which a job is handed off."""

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Hand a job off in the database that ``OPTIONS["DATABASE"]`` names."""
        return self.hand_off(task, args, kwargs, self.options.get("DATABASE", DEFAULT_DB_ALIAS))

    @abstractmethod
    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Queue a job for when the transaction of the database ``using`` is committed."""

    def ready_result(self, task: Task, args: Any, kwargs: Any, key: str = "") -> TaskResult:
        """Return the result of a job that waits to be run; its id is the key, or made up.

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
    """Runs jobs in the process at hand, right after the commit.

    Django's ``ImmediateBackend`` runs them inside the open transaction and so
    also for one that is rolled back later. A job that fails is logged by
    ``django.tasks`` and disturbs neither the request nor other jobs.
    """

    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Run the job when the transaction of the database ``using`` is committed."""
        result = self.ready_result(task, args, kwargs)

        def run() -> None:
            with in_a_job(), watch.job(task.module_path):
                self._execute_task(result)  # type: ignore[attr-defined]

        transaction.on_commit(run, using=using, robust=True)
        return result


def autocommit[Function: Callable[..., Any]](function: Function) -> Function:
    """Mark a job that commits for itself: no backend may run it in a transaction of its own.

    It stands below ``@task``. A job that is run again starts from its first step, so each step
    must allow to be done twice.
    """
    function.autocommit = True  # type: ignore[attr-defined]
    return function


def hand_off(
    job: Task, *args: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any
) -> TaskResult | None:
    """Queue a job for when the transaction at hand is committed; drop it on a rollback.

    Args:
        job: a function decorated with ``django.tasks.task``. One that has a parameter ``using``
            is given the alias too.
        args, kwargs: the job's arguments, JSON-serialisable: primary keys, not instances.
        using: the alias of the database whose transaction decides.

    Returns:
        The result to look the job up with; None from a backend that is no
        ``TransactionalBackend``, which cannot name a job before it is enqueued.
    """
    kwargs |= database_argument(job.func, len(args) + job.takes_context, using)
    backend = job.get_backend()
    if isinstance(backend, TransactionalBackend):
        return backend.hand_off(job, args, kwargs, using)
    transaction.on_commit(partial(job.enqueue, *args, **kwargs), using=using, robust=True)
    return None


def hand_off_many(
    job: Task, arguments: Iterable[Sequence[Any]], using: str = DEFAULT_DB_ALIAS
) -> None:
    """Queue a job many times, like ``hand_off``; a backend may do so in one statement.

    ``arguments`` are the positional ones of each call, for example ``[(pk,) for pk in pks]``.
    """
    backend = job.get_backend()
    if hasattr(backend, "hand_off_many"):
        backend.hand_off_many(job, arguments, using)
        return
    for each in arguments:
        hand_off(job, *each, using=using)


def database_argument(function: Callable[..., Any], given: int, using: str) -> dict[str, str]:
    """Return ``using`` as a keyword argument, for a function that has such a parameter.

    ``given`` is the number of its positional arguments, of which one may be the alias already.
    """
    parameters = inspect.signature(function).parameters
    by_position = [each.name for each in parameters.values() if each.kind != each.KEYWORD_ONLY]
    taken = "using" in parameters and "using" not in by_position[:given]
    return {"using": using} if taken else {}
