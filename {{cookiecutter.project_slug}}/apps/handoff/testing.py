"""For tests: run what was handed off, without a broker and without a worker."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from .relay import BATCH, claim


def work_off(using: str = DEFAULT_DB_ALIAS) -> int:
    """Run the jobs that are due in a database, and those that they hand off, here and now.

    It works inside of a test's transaction, as in ``TestCase``. A job that fails is tried again
    as often as in a worker, provided that ``BACKOFF`` is 0; else it waits in the outbox.

    Returns:
        How many attempts there were.
    """
    from .celery_app import app
    from .receipts import Run
    from .worker import register_jobs

    register_jobs()
    attempts = 0
    while rows := claim(using, BATCH):
        for row in rows:
            headers: Any = {"handoff": Run.message(using, row)}
            app.tasks[row.name].apply(
                (row.arguments,),
                task_id=str(row.pk),
                retries=row.attempts,
                headers=headers,
            )
            attempts += 1
    return attempts
