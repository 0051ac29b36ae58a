"""For tests: run what was handed off, without a broker and without a worker."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from .relay import claim, due_queues


def work_off(using: str = DEFAULT_DB_ALIAS) -> int:
    """Run the jobs that are due in a database, and those that they hand off, here and now.

    It works inside of a test's transaction, as in ``TestCase``. A job that fails is tried again
    as often as in a worker, provided that ``BACKOFF`` is 0; else it waits in the outbox.

    Returns:
        How many attempts there were.
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
