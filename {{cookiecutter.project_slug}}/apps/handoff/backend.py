"""The task backend that writes jobs into the outbox, in the transaction that hands them off."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.dispatch import Signal
from django.tasks import Task, TaskResult, TaskResultStatus, task_backends
from django.tasks.base import TaskError
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.core.actor import current_actor, current_request_id
from apps.core.jobs import TransactionalBackend, database_argument

from .broker import broker_url
from .models import Handoff, Status, time_ordered_id

# Every declared job by the path of its function. A worker can run these.
declared_jobs: Final[dict[str, Task]] = {}

# Other jobs are READY.
STATUSES: Final = {
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.DONE: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
}

# The rows of one INSERT at most; fewer if the database takes fewer parameters.
ROWS_AT_ONCE: Final = 10_000


def is_number(value: Any) -> bool:
    """Whether a value is a number above 0, and finite."""
    return isinstance(value, int | float) and 0 < value < float("inf")


# For each option its default, and whether it can have a value.
OPTIONS: Final[dict[str, tuple[Any, Callable[[Any], bool]]]] = {
    "RETRIES": (8, lambda value: isinstance(value, int) and value >= 0),
    "BACKOFF": (5, lambda value: value == 0 or is_number(value)),
    "TIME_LIMIT": (None, lambda value: value is None or is_number(value)),
    "LEASE": (30, is_number),
    "AUTOCOMMIT": ((), lambda value: isinstance(value, list | tuple | set)),
    "JOBS": ({}, lambda value: isinstance(value, dict)),
    "DATABASE": (DEFAULT_DB_ALIAS, lambda value: value in outboxes()),
}
# ``OPTIONS["JOBS"]`` can set these for one job, by its path.
JOB_OPTIONS: Final = ("RETRIES", "BACKOFF", "TIME_LIMIT")


class OutboxBackend(TransactionalBackend):
    """Writes a job into the outbox, from where the relay sends it to Celery.

    The ``README.md`` of this app lists its ``OPTIONS``.
    """

    supports_async_task = True
    supports_defer = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Task) -> None:
        """Refuse a job that cannot be run; make others known to the worker."""
        super().validate_task(task)
        declared_jobs.setdefault(task.module_path, task)

    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Write the job into a database, in its current transaction; see ``ready_result``."""
        return self._write(task, [(args, kwargs)], using)[0]

    def hand_off_many(self, task: Task, arguments: Iterable[Sequence[Any]], using: str) -> None:
        """Write many jobs into the database ``using`` with few INSERTs; see ``hand_off``."""
        count = task.takes_context
        given = [
            (args, database_argument(task.func, len(args) + count, using)) for args in arguments
        ]
        self._write(task, given, using)

    def _write(
        self, task: Task, arguments: Iterable[tuple[Any, Any]], using: str
    ) -> list[TaskResult]:
        results = {
            (key := time_ordered_id()): self.ready_result(task, args, kwargs, str(key))
            for args, kwargs in arguments
        }
        insert(
            using,
            [(key, json.dumps([one.args, one.kwargs])) for key, one in results.items()],
            name=task.module_path,
            backend=self.alias,
            queue=task.queue_name,
            priority=int(task.priority),
            due_at=task.run_after,
        )
        for result in results.values():
            object.__setattr__(result, "enqueued_at", timezone.now())

        def send_signals() -> None:
            for result in results.values():
                task_enqueued.send(type(self), task_result=result)

        transaction.on_commit(send_signals, using=using, robust=True)
        return [*results.values()]

    def get_result(self, result_id: str) -> TaskResult:
        """Look up a job in all outboxes; raise TaskResultDoesNotExist if it or its code is gone."""
        for alias in outboxes():
            row = Handoff.objects.using(alias).with_id(result_id)
            if row and (job := job_named(row.name)):
                return result_of(row, job)
        raise TaskResultDoesNotExist(result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Refuse an unknown broker, unknown options and values of a wrong kind."""
        errors: list[CheckMessage] = []
        try:
            broker_url()
        except ImproperlyConfigured as error:
            errors.append(Error(str(error), id="handoff.E001"))
        wrong = mistakes(self.options, OPTIONS)
        if isinstance(jobs := self.options.get("JOBS"), dict):
            for options in jobs.values():
                wrong += mistakes(options, JOB_OPTIONS)
        if wrong:
            sentence = f"TASKS[{self.alias!r}]['OPTIONS'] cannot have {', '.join(sorted(wrong))}."
            hint = f"There are {', '.join(OPTIONS)}; for one job {', '.join(JOB_OPTIONS)}."
            errors.append(Error(sentence, hint=hint, id="handoff.E002"))
        return errors


def mistakes(options: Any, names: Iterable[str]) -> list[str]:
    """List the options that are unknown, or whose value is of a wrong kind."""
    if not isinstance(options, dict):
        return [repr(options)]
    return [
        f"{name} = {value!r}"
        for name, value in options.items()
        if name not in names or not OPTIONS[name][1](value)
    ]


def insert(
    using: str, rows: Sequence[tuple[UUID, str]], due_at: datetime | None, **common: Any
) -> None:
    """Write rows into the outbox of a database, with one INSERT for each batch.

    This is plain SQL, because ``bulk_create`` would make an instance of the model for each job.
    ``rows`` has an id for each job, and its arguments as JSON. ``common`` has the columns with one
    value for all jobs. The actor and the request are added, and the database fills in the others.
    """
    actor = current_actor()
    # A user who has just been deleted has no key.
    common["actor"] = "" if actor is None or actor.pk is None else str(actor.pk)
    common["request_id"] = current_request_id()
    connection = connections[using]
    if due_at:
        common["due_at"] = connection.ops.adapt_datetimefield_value(due_at)
    key, same = Handoff._meta.pk.get_db_prep_value, [*common.values()]
    limit = connection.features.max_query_params
    size = min(ROWS_AT_ONCE, limit // (2 + len(same))) if limit else ROWS_AT_ONCE
    with connection.cursor() as cursor:
        # batched() would make room for a whole batch first.
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            values = [each for pk, text in part for each in (key(pk, connection), text, *same)]
            cursor.execute(_insert_sql(len(part), *common), values)


@lru_cache(maxsize=8)
def _insert_sql(rows: int, *columns: str) -> str:
    """Return an INSERT of so many rows. The trail knows a table by its quotes."""
    marks = ", ".join([f"(%s, %s{', %s' * len(columns)})"] * rows)
    return f'INSERT INTO "handoff_handoff" (id, arguments, {", ".join(columns)}) VALUES {marks}'  # noqa: S608


def outboxes() -> list[str]:
    """List the databases that have an outbox: the routers allow its table there."""
    return [alias for alias in connections if router.allow_migrate_model(alias, Handoff)]


def option(backend: str, name: str, job: str = "") -> Any:
    """Return an option of a backend in ``TASKS``, or its default. Celery tasks have no backend.

    An option of the job with the path ``job`` comes first.
    """
    alias = backend or "default"
    options = task_backends[alias].options if alias in task_backends else {}
    own = options.get("JOBS", {}).get(job, {})
    return own.get(name, options.get(name, OPTIONS[name][0]))


def job_named(name: str) -> Task | None:
    """Return the job whose function has this path; None if there is no such job."""
    if name not in declared_jobs:
        with suppress(ImportError):
            import_string(name)
    return declared_jobs.get(name)


def result_of(row: Handoff, job: Task) -> TaskResult:
    """Return the state of a job in the form of Django's tasks."""
    args, kwargs = row.loaded_arguments()
    result: TaskResult = TaskResult(
        task=job,
        id=str(row.pk),
        status=STATUSES.get(Status(row.status), TaskResultStatus.READY),
        enqueued_at=row.handed_off_at,
        started_at=row.started_at,
        last_attempted_at=row.last_attempted_at,
        finished_at=row.finished_at or row.failed_at,
        args=args,
        kwargs=kwargs,
        backend=row.backend,
        errors=[TaskError(exception_class_path=row.error, traceback=row.traceback)]
        if row.error
        else [],
        # One entry for each attempt. The workers of earlier attempts are not kept.
        worker_ids=[row.worker] * row.attempts,
    )
    if row.return_value:
        object.__setattr__(result, "_return_value", json.loads(row.return_value))
    return result


def send_signal(signal: Signal, row: Handoff) -> None:
    """Send a signal of ``django.tasks`` about a job. There are none about Celery tasks."""
    if row.backend and (job := job_named(row.name)):
        signal.send(type(job.get_backend()), task_result=result_of(row, job))
