"""Receipts: one start of a job, and what becomes of it, written into the outbox."""

import json
import logging
import random
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Event, Thread
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.db.models.functions import Now
from django.tasks.signals import task_finished
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.json import normalize_json

from apps.core.actor import acting_as

from .backend import job_named, option, result_of
from .limits import cut_when_silent, limited
from .models import Handoff, HandoffQuerySet, Status

logger = logging.getLogger(__name__)

# Seconds: the pause before another attempt, at most.
LONGEST_BACKOFF: Final = 900

# Characters of a traceback in a row, and of a call or an error in one line of the log.
LONGEST_TRACEBACK: Final = 20_000
LONGEST_IN_LOG: Final = 1000

# Seconds for which a job may keep all other writers of an SQLite database waiting.
LONG: Final = 5
HELD_UP: Final = (
    "The job %s kept its transaction open for %d seconds. On SQLite nobody else can write"
    " meanwhile: name it in TASKS['default']['OPTIONS']['AUTOCOMMIT'], or use PostgreSQL."
)

NO_HEARTBEAT: Final = (
    "The job %s could not say that it is still running. If it cannot for %d seconds, it is run a"
    " second time."
)

# What comes of a value that cannot be JSON; the last one when it contains itself.
NO_JSON: Final = (TypeError, ValueError, RecursionError)

FAILED: Final = (
    "The job %s failed in attempt %d with %s and is not tried again. Mend the cause, then let it"
    " run again: manage.py handoff retry %s"
)


class SupersededError(Exception):
    """Another process has taken the job over, so what this one did must not be committed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a job. Every step says no when the job is not at this attempt any more.

    All that is known of the job comes from its ``row``, and nothing from a message.
    """

    database: str
    row: Handoff

    @classmethod
    def of(cls, database: str, key: str) -> "Run | None":
        """Return the attempt that a row is at; None when there is no such row."""
        if database not in connections:
            return None
        try:
            row = Handoff.objects.using(database).filter(pk=key).first()
        except ValidationError:
            return None
        return cls(database, row) if row else None

    @property
    def lease(self) -> timedelta:
        """How long after its last sign of life a process counts as dead."""
        return timedelta(seconds=option(self.row.backend, "LEASE"))

    def start(self, worker: str) -> bool:
        """Write down that a process has started the job; False when it must not.

        That is when the message is a duplicate: the job runs, is done or waits for its time.
        """
        return changed(
            self.database,
            self.row,
            Status.SENT,
            status=Status.RUNNING,
            attempts=self.row.attempts + 1,
            sends=0,
            worker=worker[:255],
            started_at=self.row.started_at or Now(),
            last_attempted_at=Now(),
            due_at=Now() + self.lease,
        )

    @contextmanager
    def in_transaction(self) -> Iterator[None]:
        """Commit what the block writes together with its receipt, or neither.

        The row is locked meanwhile, so that as long as this process lives nobody else runs
        the job, and at once when it does not.

        Raises:
            SupersededError: when somebody else has taken the job over.
        """
        start = time.monotonic()
        with ExitStack() as commit, transaction.atomic(using=self.database):
            with cut_when_silent(self.database):
                if not self.mine().select_for_update().values_list("pk"):
                    raise SupersededError
            yield
            commit.enter_context(cut_when_silent(self.database))
        seconds = time.monotonic() - start
        if seconds > LONG and connections[self.database].vendor == "sqlite":
            logger.warning(HELD_UP, self.row.pk, seconds)

    @contextmanager
    def with_heartbeat(self) -> Iterator[None]:
        """Let the block commit for itself; say all the time that this process lives."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(self.lease.total_seconds() / 3):
                try:
                    with limited(self.database):
                        self.mine().update(due_at=Now() + self.lease)
                except Exception:
                    logger.exception(NO_HEARTBEAT, self.row.pk, self.lease.total_seconds())
                    # The next one has a new connection.
                    connections[self.database].close()
            connections[self.database].close()

        thread = Thread(target=beat, name=f"heartbeat of {self.row.pk}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def finish(self, value: Any) -> None:
        """Write down that the job is done, and what it returned where that can be JSON.

        Raises:
            SupersededError: when somebody else has taken the job over.
        """
        try:
            text = json.dumps(normalize_json(value))
        except NO_JSON:
            logger.warning("The job %s returned what is no JSON, so it is not kept.", self.row.pk)
            text = ""
        with cut_when_silent(self.database):
            self._end(
                status=Status.DONE, due_at=None, sent_at=None, finished_at=Now(), return_value=text
            )

    def fail(
        self, error: BaseException, *, pause: float | None = None, for_good: bool = False
    ) -> float | None:
        """Write down that the attempt has failed, and when there will be another.

        Args:
            error: why it has failed.
            pause: the seconds until the next attempt, where the job itself says so.
            for_good: whether there must not be another.

        Returns:
            The seconds until then; None when there will be none.

        Raises:
            SupersededError: when the job is done or somebody else has taken it over.
        """
        row = self.row
        if for_good or row.attempts > option(row.backend, "RETRIES", row.name):
            if not give_up(self.database, row, error, Status.RUNNING):
                raise SupersededError
            return None
        if pause is None:
            longest = option(row.backend, "BACKOFF", row.name) * 2 ** (row.attempts - 1)
            # From half of it on: what failed together must not come back together.
            pause = min(longest, LONGEST_BACKOFF) * random.uniform(0.5, 1)  # noqa: S311
        due = Now() + timedelta(seconds=pause)
        self._end(status=Status.WAITING, sent_at=None, due_at=due, **described(error))
        return pause

    def mine(self) -> HandoffQuerySet:
        """Return the row, or nothing when somebody else has taken the job over."""
        return row_at(self.database, self.row, Status.RUNNING)

    def _end(self, **changes: Any) -> None:
        if not changed(self.database, self.row, Status.RUNNING, **changes):
            raise SupersededError


def row_at(database: str, row: Handoff, status: str) -> HandoffQuerySet:
    """Return a row, or nothing when it has another status or has come to another attempt."""
    rows: HandoffQuerySet = Handoff.objects.using(database)
    return rows.filter(pk=row.pk, status=status, attempts=row.attempts)


def changed(database: str, row: Handoff, was: str, **changes: Any) -> bool:
    """Change a row, and ``row`` with it; False when its status is not what it was any more."""
    if not row_at(database, row, was).update(**changes):
        return False
    now = timezone.now()  # as near to the time of the database as this process knows
    for name, value in changes.items():
        setattr(row, name, now if isinstance(value, Now) else value)
    return True


def give_up(database: str, row: Handoff, error: BaseException, was: str) -> bool:
    """Mark a job as failed for good; log it and tell the receivers of ``task_finished``.

    False when its status is not what it was any more.
    """
    changes = {"status": Status.FAILED, "due_at": None, "sent_at": None, "failed_at": Now()}
    if not changed(database, row, was, **changes, **described(error)):
        return False
    transaction.on_commit(partial(_report, row), using=database, robust=True)
    return True


def described(error: BaseException) -> dict[str, str]:
    """Return the columns that keep an error; without what a database does not store.

    That is half a surrogate pair, and for PostgreSQL also NUL.
    """
    kind = type(error)
    text = "".join(traceback.format_exception(error)).replace("\0", "\ufffd")
    text = shortened(text.encode(errors="replace").decode(), LONGEST_TRACEBACK)
    return {"error": f"{kind.__module__}.{kind.__qualname__}"[:255], "traceback": text}


def shortened(text: str, limit: int) -> str:
    """Leave out the middle of a text that is longer than ``limit`` characters."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


def actor_named(key: str) -> Any:
    """Return the user with this key, looked up when somebody asks; None for nobody."""
    users = get_user_model()._default_manager
    return SimpleLazyObject(lambda: users.filter(pk=key).first()) if key else None


def _report(row: Handoff) -> None:
    call = shortened(row.call, LONGEST_IN_LOG)
    last_line = shortened(row.traceback.rstrip().rpartition("\n")[2], LONGEST_IN_LOG)
    logger.error(FAILED, call, row.attempts, last_line, row.pk)
    job = job_named(row.name)
    if job is not None:
        with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
            task_finished.send(type(job.get_backend()), task_result=result_of(row, job))
