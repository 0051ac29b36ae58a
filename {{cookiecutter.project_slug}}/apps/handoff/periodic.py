"""Periodic jobs: of all relays, the first one that sees a due job hands it off."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.tasks import Task

from apps.core.jobs import hand_off
from apps.core.periodic import periodic_jobs

from .backend import outboxes
from .models import PeriodicJob


def hand_off_due(alias: str) -> None:
    """Hand off each periodic job that is due, in the transaction that sets its next run.

    Only the first outbox of a project has periodic jobs. A job that is new in the database is due
    after its interval. One run makes up for all runs that were missed.
    """
    if alias != outboxes()[0]:
        return
    jobs = periodic_jobs()
    known = PeriodicJob.objects.using(alias).annotate(now=Now()).in_bulk(list(jobs))
    for name, (job, interval) in jobs.items():
        if row := known.get(name):
            _hand_off(row, job, interval, alias)
        else:
            new = PeriodicJob(name=name, next_at=Now() + interval)
            PeriodicJob.objects.using(alias).bulk_create([new], ignore_conflicts=True)


def _hand_off(row: Any, job: Task, interval: timedelta, alias: str) -> None:
    """Hand a job off if it is due and no other relay does so at the same time."""
    due, now = row.next_at, row.now
    following = due + ((now - due) // interval + 1) * interval
    if now < due:
        if due - now <= interval:
            return
        # The clock was set back, or the interval is shorter now. No run was missed.
        following = now + interval
    with transaction.atomic(using=alias):
        rows = PeriodicJob.objects.using(alias).filter(pk=row.pk, next_at=due)
        if rows.update(next_at=following) and now >= due:
            hand_off(job, using=alias)
