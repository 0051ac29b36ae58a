"""The task backend that writes jobs into the outbox, in the transaction that hands them off."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections, router, transaction
from django.db.models import Field
from django.tasks import (
    DEFAULT_TASK_BACKEND_ALIAS,
    Task,
    TaskResult,
    TaskResultStatus,
    task_backends,
)
from django.tasks.base import TaskError
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.core.actor import current_actor, current_request_id
from apps.core.jobs import TransactionalBackend, database_argument

from .broker import broker_url
from .models import Handoff, Status, time_ordered_id

# Every job that was declared, by the path of its function: what a worker can run.
declared_jobs: Final[dict[str, Task]] = {}

STATUSES: Final = {
    Status.WAITING: TaskResultStatus.READY,
    Status.SENT: TaskResultStatus.READY,
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.DONE: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
}

# Characters. What a broker refuses for its size would be in the way of everything behind it.
LONGEST_ARGUMENTS: Final = 1_000_000

DEFAULT_OPTIONS: Final[dict[str, Any]] = {
    "RETRIES": 8,
    "BACKOFF": 5,
    "LEASE": 30,
    "AUTOCOMMIT": (),
    "RELAY_IN_WORKER": True,
}


class OutboxBackend(TransactionalBackend):
    """Writes a job into the outbox, from where the relay sends it to Celery.

    ``OPTIONS``: ``RETRIES`` after a failure (default 8) and ``BACKOFF``, the seconds before
    the first of them (default 5), which double each time; ``LEASE``, the seconds after which a
    job is sent again whose process has died (default 30); ``AUTOCOMMIT``, the paths of jobs
    that must not run in one transaction; ``RELAY_IN_WORKER`` (default True); ``DATABASE``, the
    alias for a plain ``enqueue``.
    """

    supports_async_task = True
    supports_defer = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Task) -> None:
        """Refuse a job that cannot be run, and remember the others for the worker."""
        super().validate_task(task)
        declared_jobs.setdefault(task.module_path, task)

    def hand_off(self, task: Task, args: Any, kwargs: Any, using: str) -> TaskResult:
        """Write the job into the database ``using``, in the transaction at hand there.

        Raises:
            InvalidTask, TypeError: see ``ready_result``.
            ValueError, DatabaseError: see ``put``.
        """
        result = self.ready_result(task, args, kwargs, str(time_ordered_id()))
        put(using, **self.row_of(result))
        self.tell_after_commit(result, using)
        return result

    def hand_off_many(self, task: Task, arguments: Iterable[Sequence[Any]], using: str) -> None:
        """Write the jobs into the database ``using`` with one INSERT; see ``hand_off``."""
        results = []
        for args in arguments:
            kwargs = database_argument(task.func, len(args) + task.takes_context, using)
            results.append(self.ready_result(task, args, kwargs, str(time_ordered_id())))
        rows = (Handoff(**with_actor(self.row_of(result))) for result in results)
        Handoff.objects.using(using).bulk_create(rows)
        for result in results:
            self.tell_after_commit(result, using)

    def row_of(self, result: TaskResult) -> dict[str, Any]:
        """Return the row of a job that is about to be handed off."""
        task = result.task
        return {
            "id": result.id,
            "name": task.module_path,
            "backend": self.alias,
            "queue": task.queue_name,
            "priority": task.priority,
            "arguments": json.dumps([result.args, result.kwargs]),
        } | ({"due_at": task.run_after} if task.run_after else {})

    def tell_after_commit(self, result: TaskResult, using: str) -> None:
        """Send ``task_enqueued`` for a job that was written, once it is committed."""
        object.__setattr__(result, "enqueued_at", timezone.now())

        def tell() -> None:
            task_enqueued.send(type(self), task_result=result)

        transaction.on_commit(tell, using=using, robust=True)

    def get_result(self, result_id: str) -> TaskResult:
        """Look a job up, in every database that has an outbox.

        Raises:
            TaskResultDoesNotExist: when there is none, or its function is gone.
        """
        for alias in outboxes():
            try:
                row = Handoff.objects.using(alias).filter(pk=result_id).first()
            except ValidationError:
                break
            if row and (job := job_named(row.name)):
                return result_of(row, job)
        raise TaskResultDoesNotExist(result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Refuse a broker that is unknown and queues that no worker would read."""
        errors: list[CheckMessage] = []
        try:
            broker_url()
        except ImproperlyConfigured as error:
            errors.append(Error(str(error), id="handoff.E001"))
        if not self.queues:
            sentence = f"TASKS[{self.alias!r}]['QUEUES'] is empty: a worker would read nothing."
            hint = "Name the queues, for example ['default', 'reports'], or leave QUEUES out."
            errors.append(Error(sentence, hint=hint, id="handoff.E002"))
        if unknown := set(self.options) - {*DEFAULT_OPTIONS, "DATABASE"}:
            sentence = f"TASKS[{self.alias!r}]['OPTIONS'] has no {', '.join(sorted(unknown))}."
            hint = f"There are {', '.join(DEFAULT_OPTIONS)} and DATABASE."
            errors.append(Error(sentence, hint=hint, id="handoff.E003"))
        return errors


def put(using: str, **values: Any) -> None:
    """Write a row into the outbox of a database: one INSERT, without Django's models.

    Args:
        using: the alias of the database.
        values: the row; who acts is added, and the database fills in the rest.

    Raises:
        ValueError: see ``with_actor``.
        DatabaseError: when the row cannot be written, like any other row.
    """
    values = with_actor(values)
    connection = connections[using]
    fields: list[Field[Any, Any]] = [Handoff._meta.get_field(name) for name in values]  # type: ignore[misc]
    columns = tuple(field.column for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            _insert(columns, connection.ops.quote_name),
            [
                field.get_db_prep_save(value, connection)
                for field, value in zip(fields, values.values(), strict=True)
            ],
        )


def with_actor(values: dict[str, Any]) -> dict[str, Any]:
    """Add who acts to a row of the outbox.

    Raises:
        ValueError: when the arguments are too long for a message.
    """
    if len(values["arguments"]) > LONGEST_ARGUMENTS:
        raise ValueError(
            f"The arguments of {values['name']} have {len(values['arguments'])} characters, of"
            f" which {LONGEST_ARGUMENTS} are allowed. Hand over keys: send_receipt.enqueue(order.pk)."
        )
    actor = current_actor()
    # A user who has just been deleted has no key any more.
    values["actor"] = "" if actor is None or actor.pk is None else str(actor.pk)
    values["request_id"] = current_request_id()
    return values


@cache
def _insert(columns: tuple[str, ...], quote: Any) -> str:
    names = ", ".join(quote(column) for column in columns)
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {quote(Handoff._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608


def outboxes() -> list[str]:
    """List the databases that have an outbox: those whose router lets its table be made."""
    return [alias for alias in connections if router.allow_migrate_model(alias, Handoff)]


def option(backend: str, name: str) -> Any:
    """Return an option of a backend in ``TASKS``, or its default; Celery tasks have no backend."""
    alias = backend or DEFAULT_TASK_BACKEND_ALIAS
    options = task_backends[alias].options if alias in task_backends else {}
    return options.get(name, DEFAULT_OPTIONS[name])


def job_named(name: str) -> Task | None:
    """Return the job whose function has this path; None when there is none any more."""
    if name not in declared_jobs:
        try:
            import_string(name)
        except ImportError:
            return None
    return declared_jobs.get(name)


def result_of(row: Handoff, job: Task) -> TaskResult:
    """Return what Django's tasks call the result: how a job stands."""
    args, kwargs = row.loaded_arguments()
    result: TaskResult = TaskResult(
        task=job,
        id=str(row.pk),
        status=STATUSES[Status(row.status)],
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
        # One entry for each attempt; of the earlier ones only the number is known.
        worker_ids=[row.worker] * row.attempts,
    )
    if row.return_value:
        object.__setattr__(result, "_return_value", json.loads(row.return_value))
    return result
