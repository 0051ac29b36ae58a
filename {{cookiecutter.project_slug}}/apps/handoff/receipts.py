"""Receipts: one start of a job, and what becomes of it, written into the outbox."""

import json
import logging
import random
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Event, Thread
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.db.models.functions import Coalesce, Now
from django.tasks.signals import task_finished
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.json import normalize_json

from apps.core.actor import acting_as

from .backend import job_named, option, result_of
from .limits import limited
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
    "The job %s (id %s) failed in attempt %d with %s and is not tried again. Mend the cause,"
    " then send it again in manage.py shell: from apps.handoff.models import Handoff;"
    " Handoff.objects.using(%r).filter(pk=%r).send_again()"
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
            row = Handoff.objects.using(database).defer("traceback").filter(pk=key).first()
        except ValidationError:
            return None
        return cls(database, row) if row else None

    @property
    def pk(self) -> str:
        """The key of the job, as text."""
        return str(self.row.pk)

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1 on."""
        return self.row.attempts

    @property
    def lease(self) -> timedelta:
        """How long after its last sign of life a process counts as dead."""
        return timedelta(seconds=option(self.row.backend, "LEASE"))

    def start(self, worker: str) -> bool:
        """Write down that a process has started the job; False when it must not.

        That is when the message is a duplicate: the job runs, is done or waits for its time.
        """
        started = self._rows(Status.SENT).update(
            status=Status.RUNNING,
            attempts=self.attempt + 1,
            sends=0,
            worker=worker[:255],
            started_at=Coalesce("started_at", Now()),
            last_attempted_at=Now(),
            due_at=Now() + self.lease,
        )
        if started:
            self.row.attempts += 1
            self.row.status, self.row.worker = Status.RUNNING, worker[:255]
        return started == 1

    @contextmanager
    def in_transaction(self) -> Iterator[None]:
        """Commit what the block writes together with its receipt, or neither.

        The row is locked meanwhile, so that as long as this process lives nobody else runs
        the job, and at once when it does not.

        Raises:
            SupersededError: when somebody else has taken the job over.
        """
        start = time.monotonic()
        with transaction.atomic(using=self.database):
            if not self._mine().select_for_update().values_list("pk"):
                raise SupersededError
            yield
        seconds = time.monotonic() - start
        if seconds > LONG and connections[self.database].vendor == "sqlite":
            logger.warning(HELD_UP, self.pk, seconds)

    @contextmanager
    def with_heartbeat(self) -> Iterator[None]:
        """Let the block commit for itself; say all the time that this process lives."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(self.lease.total_seconds() / 3):
                try:
                    self._mine().update(due_at=Now() + self.lease)
                except Exception:
                    logger.exception(NO_HEARTBEAT, self.pk, self.lease.total_seconds())
                    # The next one has a new connection.
                    connections[self.database].close()
            connections[self.database].close()

        thread = Thread(target=beat, name=f"heartbeat of {self.pk}", daemon=True)
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
            logger.warning("The job %s returned what is no JSON, so it is not kept.", self.pk)
            text = ""
        done = self._mine().update(
            status=Status.DONE, due_at=None, sent_at=None, finished_at=Now(), return_value=text
        )
        if not done:
            raise SupersededError

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
        retries = option(self.row.backend, "RETRIES", self.row.name)
        if for_good or self.attempt > retries:
            if not give_up(self.database, list(self._mine()), error):
                raise SupersededError
            return None
        if pause is None:
            longest = option(self.row.backend, "BACKOFF", self.row.name) * 2 ** (self.attempt - 1)
            # From half of it on: what failed together must not come back together.
            pause = min(longest, LONGEST_BACKOFF) * random.uniform(0.5, 1)  # noqa: S311
        put_back = self._mine().update(
            status=Status.WAITING,
            sent_at=None,
            due_at=Now() + timedelta(seconds=pause),
            **described(error),
        )
        if not put_back:
            raise SupersededError
        return pause

    def fail_when_free(self, error: BaseException, *, for_good: bool = False) -> None:
        """Write down, in place of the process of the attempt, that it has failed.

        Args:
            error: why it has failed.
            for_good: whether there must not be another attempt.

        Raises:
            SupersededError: when the job is done or somebody else has taken it over.
            OperationalError: at once, when its process still has the lock.
        """
        with limited(self.database):
            list(self._mine().select_for_update(nowait=True).values_list("pk"))
            self.fail(error, for_good=for_good)

    def _mine(self) -> HandoffQuerySet:
        return self._rows(Status.RUNNING)

    def _rows(self, status: Status) -> HandoffQuerySet:
        rows: HandoffQuerySet = Handoff.objects.using(self.database)
        return rows.filter(pk=self.row.pk, status=status, attempts=self.attempt)


def give_up(database: str, rows: list[Handoff], error: BaseException) -> int:
    """Mark jobs as failed for good; log each and tell the receivers of ``task_finished``.

    Returns:
        How many there were: a row that has moved on meanwhile is left alone.
    """
    count = 0
    for row in rows:
        mine = Handoff.objects.using(database).filter(
            pk=row.pk, status=row.status, attempts=row.attempts
        )
        changes = described(error) | {"status": Status.FAILED, "due_at": None, "sent_at": None}
        if mine.update(failed_at=Now(), **changes):
            count += 1
            for name, value in (changes | {"failed_at": timezone.now()}).items():
                setattr(row, name, value)
            transaction.on_commit(partial(_report, database, row), using=database, robust=True)
    return count


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
    if not key:
        return None

    def look_up() -> AbstractBaseUser | None:
        return get_user_model()._default_manager.filter(pk=key).first()

    return SimpleLazyObject(look_up)


def _report(database: str, row: Handoff) -> None:
    call = shortened(row.call, LONGEST_IN_LOG)
    last_line = shortened(row.traceback.rstrip().rpartition("\n")[2], LONGEST_IN_LOG)
    logger.error(FAILED, call, row.pk, row.attempts, last_line, database, str(row.pk))
    job = job_named(row.name)
    if job is not None:
        with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
            task_finished.send(type(job.get_backend()), task_result=result_of(row, job))
