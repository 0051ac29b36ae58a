"""For tests: run jobs that were handed off, without a broker and a worker."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from .relay import claim, due_queues


def work_off(using: str = DEFAULT_DB_ALIAS) -> int:
    """Run the due jobs, and the jobs that these hand off; return the number of attempts.

    It works inside the transaction of a test, as in ``TestCase``. A job that fails is tried again
    as often as in a worker if ``BACKOFF`` is 0. Otherwise it waits in the outbox.
    """
    from .celery_app import app
    from .worker import register_jobs

    register_jobs()
    attempts = 0
    while rows := [row for queue in due_queues(using) for row in claim(using, queue)]:
        for row in rows:
            headers: Any = {"handoff": [using, str(row.pk)]}
            app.tasks[row.name].apply(task_id=str(row.pk), headers=headers)
            attempts += 1
    return attempts
