"""What a worker does with a job: run it as its actor, try again, say when it has failed."""

import logging
import random
from typing import Any, Final

from celery import Task as CeleryTask
from celery.exceptions import Reject, Retry
from celery.signals import task_failure
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.json import normalize_json

from apps.core.actor import acting_as

from .backend import by_hand, call_of, declared_jobs
from .celery import app

logger = logging.getLogger(__name__)

RETRIES: Final = 8
BACKOFF: Final = 5
# Far below the half hour after which RabbitMQ, and the hour after which Redis, hands a job that
# a worker holds back to another one.
LONGEST_BACKOFF: Final = 900

FAILED: Final = (
    "The job %s (id %s) failed in attempt %d with %r and is not tried again."
    " Mend the cause, then hand the job off by hand in manage.py shell: %s"
)


class Job(CeleryTask):
    """A Celery task that runs the Django job of the same name."""

    abstract = True
    job: Task

    # Celery then mentions a failure in one line: django.tasks logs it with its traceback.
    throws = (Exception,)

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run the job once, as its actor; when it raises, arrange for another run.

        Raises:
            Exception: see ``run_later``.
        """
        result = self.running_result()
        with acting_as(self.actor(), source="job", request_id=self.request_id()):
            task_started.send(type(self.job.get_backend()), task_result=result)
            try:
                if self.job.takes_context:
                    args = (TaskContext(task_result=result), *args)
                value = self.job.call(*args, **kwargs)
            except Exception as error:
                raise self.run_later(error) from error
            # Outside: a job that returns what is no JSON has done its work all the same.
            object.__setattr__(result, "_return_value", normalize_json(value))
            self.finish(result, TaskResultStatus.SUCCESSFUL)

    def run_later(self, error: Exception) -> Retry:
        """Publish the job anew, to run after a pause that doubles each time.

        Returns:
            What tells Celery to take the job at hand off the broker.

        Raises:
            Reject: when it could not be published; the broker then keeps the job at hand.
            Exception: the error, after the last attempt.
        """
        pause = min(self.default_retry_delay * 2**self.request.retries, LONGEST_BACKOFF)
        # Between half and all of it: what failed together must not come back together.
        pause *= random.uniform(0.5, 1)  # noqa: S311
        try:
            return self.retry(exc=error, countdown=pause, throw=False)
        except Reject as reject:
            # Celery would drop the job here.
            raise Reject(str(reject), requeue=True) from error

    def running_result(self) -> TaskResult:
        """Return the result of the job as it stands while it runs.

        ``worker_ids`` has one entry for each attempt, earlier ones named like this one.
        """
        request: Any = self.request
        now = timezone.now()
        return TaskResult(
            task=self.job,
            id=request.id,
            status=TaskResultStatus.RUNNING,
            enqueued_at=None,
            started_at=now,
            last_attempted_at=now,
            finished_at=None,
            args=request.args,
            kwargs=request.kwargs,
            backend=self.job.backend,
            errors=[],
            worker_ids=[request.hostname] * (request.retries + 1),
        )

    def finish(self, result: TaskResult, status: TaskResultStatus) -> None:
        """Tell the receivers of ``task_finished`` how the job has ended."""
        object.__setattr__(result, "status", status)
        object.__setattr__(result, "finished_at", timezone.now())
        task_finished.send(type(self.job.get_backend()), task_result=result)

    def request_id(self) -> str:
        """Return the id of the request that the job came of; empty for none."""
        return str((self.request.headers or {}).get("request_id", ""))

    def actor(self) -> Any:
        """Return the user who caused the job, looked up when somebody asks; None for nobody."""
        key = (self.request.headers or {}).get("actor")
        if key is None:
            return None

        def look_up() -> AbstractBaseUser | None:
            return get_user_model()._default_manager.filter(pk=key).first()

        return SimpleLazyObject(look_up)


def register_jobs() -> None:
    """Give every declared job a Celery task of its own name, for logs and events to show."""
    for name, job in declared_jobs.items():
        options = job.get_backend().options
        attributes = {
            "name": name,
            "job": job,
            "max_retries": options.get("RETRIES", RETRIES),
            "default_retry_delay": options.get("BACKOFF", BACKOFF),
            "__module__": job.func.__module__,
            "__doc__": job.func.__doc__,
        }
        app.register_task(type(job.name, (Job,), attributes)())


@task_failure.connect
def report_failure(sender: CeleryTask, exception: BaseException, einfo: Any, **kwargs: Any) -> None:
    """Log a job that is not tried again, whether it raised or its process was killed."""
    # Celery tells of a time limit twice, the second time without naming the job.
    if not isinstance(sender, Job) or sender.request.id is None:
        return
    result = sender.running_result()
    name = f"{type(exception).__module__}.{type(exception).__qualname__}"
    result.errors.append(TaskError(exception_class_path=name, traceback=str(einfo.traceback)))
    with acting_as(sender.actor(), source="job", request_id=sender.request_id()):
        sender.finish(result, TaskResultStatus.FAILED)
    logger.error(FAILED, call_of(result), result.id, result.attempts, exception, by_hand(result))
