"""Periodic jobs: the relays hand each tick off once, whichever comes first."""

import math
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now
from django.tasks import Task

from apps.core.jobs import hand_off
from apps.core.periodic import periodic_jobs

from .backend import outboxes
from .models import PeriodicJob

# Seconds between two looks at the next runs.
LOOK: Final = 1


class Ticks:
    """The ticks of one outbox, of which only the first of the project has any."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._next_look = 0.0 if is_owner(alias) else math.inf

    def look(self) -> None:
        """Hand off what is due, unless it has looked a moment ago."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK
            hand_off_ticks(self.alias)


def is_owner(alias: str) -> bool:
    """Say whether the periodic jobs are handed off in this database."""
    return [alias] == outboxes()[:1]


def hand_off_ticks(alias: str) -> None:
    """Hand off each periodic job that is due, in the transaction that sets its next run.

    A job that the database does not know yet is due after its interval. Ticks that were missed
    are caught up with one.
    """
    jobs = periodic_jobs()
    rows = PeriodicJob.objects.using(alias).annotate(now=Now())
    known = {row.name: row for row in rows.filter(name__in=jobs)} if jobs else {}
    for name, (job, interval) in jobs.items():
        if row := known.get(name):
            _hand_off(row, job, interval, alias)
        else:
            new = PeriodicJob(name=name, next_at=Now() + interval)
            PeriodicJob.objects.using(alias).bulk_create([new], ignore_conflicts=True)


def _hand_off(row: Any, job: Task, interval: timedelta, alias: str) -> None:
    """Hand a job off when it is due, unless another relay does so at the same time."""
    due, now = row.next_at, row.now
    following = due + ((now - due) // interval + 1) * interval
    if now < due:
        if due - now <= interval:
            return
        # The clock was set back, or the interval made shorter. Nothing was due meanwhile.
        following = now + interval
    with transaction.atomic(using=alias):
        rows = PeriodicJob.objects.using(alias).filter(pk=row.pk, next_at=due)
        if rows.update(next_at=following) and now >= due:
            hand_off(job, using=alias)


def next_runs(aliases: Iterable[str]) -> dict[str, datetime | None]:
    """Return when each periodic job runs next; None for one that no relay has seen yet."""
    found: dict[str, datetime | None] = {}
    for alias in filter(is_owner, aliases):
        found = dict.fromkeys(periodic_jobs())
        rows = PeriodicJob.objects.using(alias).filter(name__in=found)
        found |= rows.values_list("name", "next_at")
    return found
