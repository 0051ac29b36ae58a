"""Receipts: the start and the end of each attempt at a job, written into the outbox."""

import json
import logging
import random
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Event, Thread
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import connections, transaction
from django.db.models.functions import Now
from django.tasks.signals import task_finished
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.json import normalize_json

from apps.core.actor import acting_as

from .backend import option, send_signal
from .limits import cut_when_silent, limited, reset
from .models import Handoff, HandoffQuerySet, Status

logger = logging.getLogger(__name__)

# The longest pause before another attempt, in seconds.
LONGEST_BACKOFF: Final = 900

# The most characters of a traceback in a row, and of a call or an error in the log.
LONGEST_TRACEBACK: Final = 20_000
LONGEST_IN_LOG: Final = 1000

NO_HEARTBEAT: Final = "The heartbeat of the job %s failed. After %d s without one it runs again."

SPOILT: Final = (
    "The job ended its transaction or left another one open, so its writes are lost: close no"
    " connection in it, or mark it with autocommit of apps.core.jobs."
)

# The columns of a receipt. ``finished_at`` can be too early by so much.
RECEIPT: Final[dict[str, Any]] = {
    "status": Status.DONE, "due_at": None, "sent_at": None, "finished_at": Now()
}  # fmt: skip
ACCURACY: Final = timedelta(seconds=1)

FAILED: Final = (
    "The job %s failed in attempt %d with %s and is not tried again. Correct the cause, then let it"
    " run again: manage.py handoff retry %s"
)


class SupersededError(Exception):
    """Another process has taken over the job, so this one must not commit."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a job. Each step is refused if the job has reached another attempt.

    Everything about the job comes from its ``row``, and nothing from a message.
    """

    database: str
    row: Handoff

    @classmethod
    def of(cls, database: str, key: str) -> "Run | None":
        """Return the current attempt of a row; None if there is no such row."""
        row = Handoff.objects.using(database).with_id(key)
        return cls(database, row) if row else None

    @property
    def lease(self) -> timedelta:
        """How long after its last heartbeat a process counts as dead."""
        return timedelta(seconds=option(self.row.backend, "LEASE"))

    def start(self, worker: str) -> bool:
        """Mark the job as running; return False if it must not be started.

        That happens for a duplicate message: the job is running, is done or waits.
        """
        with suppress(SupersededError):
            self.change(
                Status.SENT,
                status=Status.RUNNING,
                attempts=self.row.attempts + 1,
                sends=0,
                worker=worker[:255],
                started_at=self.row.started_at or Now(),
                last_attempted_at=Now(),
                due_at=Now() + self.lease,
            )
            return True
        return False

    @contextmanager
    def in_transaction(self) -> Iterator[None]:
        """Commit the writes of the block together with its receipt, or neither.

        The receipt is written first, so that only the commit follows the job. A kill in between
        would repeat the job's effects outside of the database. The receipt also locks the row, so
        that no other process can run the job while this one lives.
        """
        was_open = connections[self.database].in_atomic_block  # as in a test
        with ExitStack() as commit, transaction.atomic(using=self.database):
            if not was_open:  # callbacks of the job may take longer than the commit
                transaction.on_commit(commit.close, using=self.database)
            with cut_when_silent(self.database):
                if not self.rows().update(**RECEIPT):
                    raise SupersededError
            yield
            commit.enter_context(cut_when_silent(self.database))
        with cut_when_silent(self.database):
            if is_spoilt := connections[self.database].in_atomic_block != was_open:
                reset(connections[self.database])
            if is_spoilt or not self.rows(Status.DONE).exists():
                raise transaction.TransactionManagementError(SPOILT)

    @contextmanager
    def with_heartbeat(self) -> Iterator[None]:
        """Let the block manage its own transactions; meanwhile extend the lease of the job."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(self.lease.total_seconds() / 3):
                try:
                    with limited(self.database):
                        self.rows().update(due_at=Now() + self.lease)
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

    def finish(self, value: Any, *, has_receipt: bool = False) -> None:
        """Mark the job as done, and keep its return value if that can be JSON; see ``change``.

        Inside ``in_transaction`` the job has its receipt. Nothing is left to write then for a short
        job that returns None.
        """
        try:
            text = "" if value is None else json.dumps(normalize_json(value))
        except (TypeError, ValueError, RecursionError):  # the last one if it contains itself
            logger.warning("The return value of the job %s is no JSON and not kept.", self.row.pk)
            text = ""
        receipt = RECEIPT | {"return_value": text}
        now = timezone.now()
        if has_receipt and not text and now - (self.row.last_attempted_at or now) < ACCURACY:
            assign(self.row, receipt)
        else:
            connection = connections[self.database]
            with cut_when_silent(self.database):
                if not has_receipt and connection.get_autocommit():
                    connection.close_if_unusable_or_obsolete()  # a long job may not have used it
                self.change(Status.DONE if has_receipt else Status.RUNNING, **receipt)

    def fail(
        self, error: BaseException, *, pause: float | None = None, for_good: bool | None = None
    ) -> float | None:
        """Mark the attempt as failed; return the seconds to the next one, or None; see ``change``.

        ``pause`` is what the job asks for, in seconds. By default ``RETRIES`` sets ``for_good``.
        """
        row, changes = self.row, {"sent_at": None, **error_columns(error)}
        if for_good is None:
            for_good = row.attempts > option(row.backend, "RETRIES", row.name)
        if for_good:
            failed = {"status": Status.FAILED, "due_at": None, "failed_at": Now()}
            self.change(Status.RUNNING, **failed, **changes)
            transaction.on_commit(partial(_report, row, error), using=self.database, robust=True)
            return None
        if pause is None:
            longest = option(row.backend, "BACKOFF", row.name) * 2 ** min(row.attempts - 1, 30)
            # Random, so that jobs that failed together do not run again together.
            pause = min(longest, LONGEST_BACKOFF) * random.uniform(0.5, 1)  # noqa: S311
        due = Now() + timedelta(seconds=pause)
        self.change(Status.RUNNING, status=Status.WAITING, due_at=due, **changes)
        return pause

    def rows(self, status: str = Status.RUNNING) -> HandoffQuerySet:
        """Return a query for the row; empty if its status or attempt has changed."""
        rows: HandoffQuerySet = Handoff.objects.using(self.database)
        return rows.filter(pk=self.row.pk, status=status, attempts=self.row.attempts)

    def change(self, was: str, **changes: Any) -> None:
        """Change the row in the database and here; raise SupersededError if others changed it."""
        if not self.rows(was).update(**changes):
            raise SupersededError
        assign(self.row, changes)


def assign(row: Handoff, changes: dict[str, Any]) -> None:
    """Change ``row`` as the database has changed its row."""
    now = timezone.now()  # an estimate of the time that the database has written
    for name, value in changes.items():
        setattr(row, name, now if isinstance(value, Now) else value)


def error_columns(error: BaseException) -> dict[str, str]:
    """Return the columns for an error."""
    kind = type(error)
    text = shortened(traceback.format_exception(error), LONGEST_TRACEBACK)
    return {"error": f"{kind.__module__}.{kind.__qualname__}"[:255], "traceback": text}


def described(error: BaseException) -> str:
    """Return the class and the text of an error, for the log."""
    return shortened(traceback.format_exception_only(error), LONGEST_IN_LOG).rstrip()


def shortened(parts: Iterable[str], limit: int) -> str:
    """Join parts of a text, and cut its middle out if it is longer than ``limit`` characters.

    No database stores half a surrogate pair, and PostgreSQL stores no NUL. They are replaced.
    """
    text = "".join(parts).replace("\0", "\ufffd").encode(errors="replace").decode()
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


def actor_named(key: str) -> Any:
    """Return the user with this key, who is loaded on first use; None for an empty key."""
    users = get_user_model()._default_manager
    return SimpleLazyObject(lambda: users.filter(pk=key).first()) if key else None


def _report(row: Handoff, error: BaseException) -> None:
    """Log that a job has failed for good, and send ``task_finished``."""
    call = shortened(row.call, LONGEST_IN_LOG)
    logger.error(FAILED, call, row.attempts, described(error), row.pk)
    with acting_as(actor_named(row.actor), source="job", request_id=row.request_id):
        send_signal(task_finished, row)
