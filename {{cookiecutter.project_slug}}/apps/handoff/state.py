"""How long jobs wait for a worker, on the clock of the database."""

from datetime import timedelta
from typing import Final

from django.db.models import F
from django.db.models.functions import Now

from .models import Handoff, Status

# If a job waits longer for a worker, then a relay or a worker is missing or too slow.
LATE: Final = timedelta(minutes=5)


def longest_wait(using: str) -> timedelta | None:
    """Return how long the oldest waiting job has waited, in whole seconds; None without one.

    A job waits from the time when it is due until a worker starts it. A job for a later time does
    not wait yet, nor does one that pauses before its next attempt. Only the first entries of
    indexes are read.
    """
    outbox = Handoff.objects.using(using)
    waiting = outbox.due().filter(status=Status.WAITING)
    found = [
        rows.order_by(since).values_list(Now() - F(since), flat=True).first()
        for rows, since in ((waiting, "due_at"), (outbox.at_broker(), "sent_at"))
    ]
    waits = [timedelta(seconds=int(wait.total_seconds())) for wait in found if wait is not None]
    return max(waits, default=None)


def is_late(using: str) -> bool:
    """Whether a job has waited for longer than ``LATE``."""
    wait = longest_wait(using)
    return wait is not None and wait >= LATE


def is_stalled(using: str) -> bool:
    """Whether jobs are late and none is running: relay or worker does not work."""
    running = Handoff.objects.using(using).taken().filter(status=Status.RUNNING)
    return is_late(using) and not running.exists()
