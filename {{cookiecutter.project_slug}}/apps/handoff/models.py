"""The outbox: one row for every job that was handed off, from the hand-off to its receipt."""

import json
import secrets
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

# The rows that one statement deletes at most, so that no statement takes long.
DELETED_AT_ONCE: Final = 1000
# How long the row of a job that is done stays, unless the command ``flush`` deletes it sooner.
KEPT: Final = timedelta(days=7)
# If a job waits longer for a worker, then a relay or a worker is missing or too slow.
LATE: Final = timedelta(minutes=5)


def time_ordered_id() -> UUID:
    """Return a new UUID of version 7: ordered by time, so the index grows at its end."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 2**12 // 1_000_000
    random = secrets.randbits(62)
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


class Status(models.TextChoices):
    """How far a job has come."""

    WAITING = "waiting", "Waiting"  # for the relay: new, or to be tried again
    SENT = "sent", "Sent"  # to the broker, and not started yet
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"  # for good: only a person can let it run again


class HandoffQuerySet(models.QuerySet["Handoff"]):
    def with_id(self, key: str) -> "Handoff | None":
        """Return the job with an id; None if there is none, or the text is no id."""
        with suppress(ValidationError):
            return self.filter(pk=key).first()
        return None

    def due(self) -> "HandoffQuerySet":
        """The jobs that the relay has to look at now."""
        # The first condition looks redundant. SQLite needs it to use the index.
        return self.filter(due_at__isnull=False, due_at__lte=Now())

    def at_broker(self) -> "HandoffQuerySet":
        """The jobs that were sent and have not been started: few, whatever the backlog."""
        return self.filter(sent_at__isnull=False, status=Status.SENT)

    def overdue(self) -> "HandoffQuerySet":
        """The jobs at the broker or running that the relay has to look at now."""
        # COALESCE keeps the database from reading the whole index of due jobs.
        rows = self.filter(sent_at__isnull=False).alias(due=Coalesce("due_at", "due_at"))
        return rows.filter(due__lte=Now())

    def failed(self) -> "HandoffQuerySet":
        """The jobs that have failed for good."""
        return self.filter(failed_at__isnull=False)

    def longest_wait(self) -> timedelta:
        """Return how long the oldest waiting job has waited, in whole seconds of the database.

        A job waits from the time when it is due until a worker starts it. A job for a later time
        does not wait yet, nor does one that pauses before its next attempt. Only the first entries
        of indexes are read.
        """
        waiting = self.due().filter(status=Status.WAITING)
        waits = [
            rows.order_by(since).values_list(Now() - F(since), flat=True).first() or timedelta()
            for rows, since in ((waiting, "due_at"), (self.at_broker(), "sent_at"))
        ]
        return timedelta(seconds=int(max(waits).total_seconds()))

    def is_stalled(self) -> bool:
        """Whether jobs are late and none is running: relay or worker does not work."""
        running = self.filter(sent_at__isnull=False, status=Status.RUNNING)
        return self.longest_wait() >= LATE and not running.exists()

    def send_again(self) -> int:
        """Give failed jobs all their attempts again; return how many there were."""
        return self.failed().update(
            status=Status.WAITING, due_at=Now(), failed_at=None, attempts=0, sends=0
        )

    def flush(self, age: timedelta) -> int:
        """Delete jobs that were done longer ago than ``age``; return how many. Failed ones stay."""
        old = self.filter(finished_at__lt=Now() - age).order_by("pk").values("pk")
        total = 0
        while number := self.filter(pk__in=old[:DELETED_AT_ONCE]).delete()[0]:
            total += number
        return total


class Handoff(models.Model):
    """A job that was handed off.

    ``due_at`` is when the relay has to look at the job, and null once it is finished. The relay
    then sends the job. It sends it again when no worker has started it, or its process has died.
    ``sends`` counts the messages since the last start, ``attempts`` counts the starts. The clock
    of the database gives all times.
    """

    id = models.UUIDField(primary_key=True, default=time_ordered_id, editable=False)
    name = models.CharField(max_length=255)  # the path of the function
    backend = models.CharField(max_length=64, blank=True)  # in TASKS; empty for a Celery task
    queue = models.CharField(max_length=255)
    priority = models.SmallIntegerField(default=0)  # higher is sooner
    arguments = models.TextField()  # as JSON: [positional, by name]
    actor = models.CharField(max_length=255, blank=True)  # the key of the user, or empty
    request_id = models.CharField(max_length=255, blank=True)

    status = models.CharField(max_length=7, choices=Status, db_default=Status.WAITING)
    handed_off_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, db_default=Now())
    sends = models.IntegerField(db_default=0)
    attempts = models.IntegerField(db_default=0)
    worker = models.CharField(max_length=255, blank=True, db_default="")
    sent_at = models.DateTimeField(null=True)  # first, while it is at the broker or running
    started_at = models.DateTimeField(null=True)  # for the first time
    last_attempted_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)  # done
    failed_at = models.DateTimeField(null=True)  # for good
    return_value = models.TextField(blank=True, db_default="")  # as JSON
    error = models.CharField(max_length=255, blank=True, db_default="")  # the path of its class
    traceback = models.TextField(blank=True, db_default="")

    objects = HandoffQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        # Each index leaves out nearly all rows. A hand-off adds to the first and the last only.
        # SQLite would not recognise conditions of another kind in a query.
        indexes = [
            models.Index(fields=["due_at"], name="handoff_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["queue"], name="handoff_sent", condition=Q(sent_at__isnull=False)),
            models.Index(
                fields=["failed_at"], name="handoff_failed", condition=Q(failed_at__isnull=False)
            ),
            # The order in which the relay takes jobs from a queue.
            models.Index(
                fields=["queue", "-priority", "due_at", "id"],
                name="handoff_next",
                condition=Q(due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @property
    def call(self) -> str:
        """The job as a call: ``apps.orders.tasks.send(5, copy=True)``."""
        args, kwargs = self.loaded_arguments()
        arguments = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        return f"{self.name}({', '.join(arguments)})"

    def loaded_arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the keyword arguments."""
        args, kwargs = json.loads(self.arguments)
        return args, kwargs


class PeriodicJob(models.Model):
    """When a job of ``PERIODIC`` is handed off next, on the clock of the database."""

    name = models.CharField(max_length=255, primary_key=True)  # the path of the function
    next_at = models.DateTimeField("next run")

    class Meta:
        ordering = ["next_at"]

    def __str__(self) -> str:
        return self.name
