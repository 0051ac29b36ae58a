"""How the outbox does, on the clock of the database: what waits, for how long, what has failed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched
from typing import Final

from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now

from .models import DELETED_AT_ONCE, Handoff, Status

# A job that no worker has begun after so long says that relay or worker is not running.
LATE: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class State:
    """What outboxes hold.

    ``jobs`` counts the rows of each job by their status. ``oldest`` is how long the job that is
    due for the longest has waited for a worker to begin it; None when nothing waits.
    """

    jobs: Mapping[str, Mapping[str, int]]
    oldest: timedelta | None

    def count(self, status: str) -> int:
        """Return how many rows have a status."""
        return sum(counts.get(status, 0) for counts in self.jobs.values())


def state_of(aliases: Iterable[str]) -> State:
    """Look at the outboxes of databases; every row is counted, so do not ask all the time."""
    jobs: dict[str, Counter[str]] = {}
    waits = []
    for alias in aliases:
        rows = Handoff.objects.using(alias).order_by().values_list("name", "status")
        for name, status, number in rows.annotate(Count("pk")):
            jobs.setdefault(name, Counter())[status] += number
        waits.append(longest_wait(alias))
    known = [wait for wait in waits if wait is not None]
    return State(dict(sorted(jobs.items())), max(known, default=None))


def longest_wait(using: str) -> timedelta | None:
    """Return how long the job that waits for the longest has done so; None when none waits.

    A job waits from when it is due until a worker begins it. What is to run at a later time,
    or to be tried again after a pause, does not wait yet.
    """
    waits = [
        _waiting(using).filter(due_at__lte=Now()).aggregate(wait=Now() - Min("due_at"))["wait"],
        _sent(using).aggregate(wait=Now() - Min("sent_at"))["wait"],
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def is_late(using: str) -> bool:
    """Say whether a job has waited for more than ``LATE``; fast however many there are."""
    long_ago = Now() - LATE
    return (
        _waiting(using).filter(due_at__lt=long_ago).exists()
        or _sent(using).filter(sent_at__lt=long_ago).exists()
    )


def is_stalled(using: str) -> bool:
    """Say whether jobs are late and none is running: relay or worker does not work."""
    running = Handoff.objects.using(using).taken().filter(status=Status.RUNNING)
    return is_late(using) and not running.exists()


def discardable(rows: QuerySet[Handoff]) -> QuerySet[Handoff]:
    """Leave out what is running or done, since it is too late to keep it from running."""
    return rows.exclude(status__in=(Status.RUNNING, Status.DONE))


def discard(rows: QuerySet[Handoff]) -> int:
    """Delete jobs that must not run, less those that do or did; return their number.

    Many rows at once, and not all: a statement can have so many parameters.
    """
    total = 0
    for pks in batched(list(rows.values_list("pk", flat=True)), DELETED_AT_ONCE):
        # A set of its own: the admin's may be ordered, or joined for its search.
        chosen = Handoff.objects.using(rows.db).filter(pk__in=pks)
        total += discardable(chosen)._raw_delete(rows.db)
    return total


def _waiting(using: str) -> QuerySet[Handoff]:
    return Handoff.objects.using(using).unfinished().filter(status=Status.WAITING)


def _sent(using: str) -> QuerySet[Handoff]:
    return Handoff.objects.using(using).at_broker()
