"""Rows of the outbox as they come to be, without broker and worker."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.handoff.models import Handoff, Status


def row(status: Status, ago: timedelta = timedelta(minutes=1), **values: Any) -> Handoff:
    """Write a row that got its status some time ago.

    Args:
        status: the status.
        ago: how long ago it got the status, and was due.
        values: other columns.
    """
    then = timezone.now() - ago
    times: dict[Status, dict[str, Any]] = {
        Status.WAITING: {"due_at": then},
        Status.SENT: {"due_at": then + timedelta(hours=1), "sent_at": then, "sends": 1},
        Status.RUNNING: {"due_at": then, "started_at": then, "attempts": 1},
        Status.DONE: {"due_at": None, "started_at": then, "finished_at": then, "attempts": 1},
        Status.FAILED: {"due_at": None, "started_at": then, "failed_at": then, "attempts": 9},
    }
    common = {"name": "apps.orders.tasks.send", "queue": "default", "arguments": "[[], {}]"}
    return Handoff.objects.create(status=status, **{**common, **times[status], **values})
