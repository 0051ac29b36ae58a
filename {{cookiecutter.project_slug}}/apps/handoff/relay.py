"""The relay: sends what is due from an outbox to the broker, and sends it again when needed."""

import logging
import math
import os
import random
import sys
import time
from collections import Counter
from datetime import timedelta
from functools import cache, cached_property
from itertools import groupby
from operator import attrgetter
from threading import Event, Lock, Thread
from typing import Any, Final

from django.db import DatabaseError, connections, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from .backend import option, outboxes
from .broker import broker_name
from .limits import STATEMENT, connect_with_limit, cut_when_silent
from .models import Handoff, Status
from .periodic import Ticks
from .publishing import channel_of, is_away, queue_at, send
from .receipts import give_up

logger = logging.getLogger(__name__)

# Seconds between two looks at an outbox in which nothing is due: while jobs come in, and when
# none has come for a while, as every look costs the database a little.
POLL: Final = 0.05
IDLE_POLL: Final = 0.1
IDLE_AFTER: Final = 30
# Seconds between two tries while the broker or a database is away, at most.
LONGEST_PAUSE: Final = 10

BATCH: Final = 200
# So many jobs of a queue are at the broker at most; the others wait in the outbox, where
# those of a higher priority pass them.
WINDOW: Final = 1000

# What nobody has started by then is sent again, once its queue at the broker is empty: after
# the first time, and at most. While messages are there, they may well wait for good reason. What
# a relay has taken and not sent, since it died, is sent by another one that way too.
FIRST_PATIENCE: Final = timedelta(minutes=1)
LONGEST_PATIENCE: Final = timedelta(hours=1)
# Seconds between two looks at a queue that has to become empty.
DRAIN_POLL: Final = 1
# A bit over a day. Then the broker throws messages away.
SENDS: Final = 30

# Names for what a pause is for, besides a queue.
EVERYTHING: Final = ""

NOT_SENT: Final = (
    "The jobs of the outbox %s cannot be sent to the broker (%s): %s. They wait there, and are"
    " sent when it can be reached again. Start it, or correct CELERY_BROKER_URL."
)
QUEUE_NOT_SENT: Final = (
    "The jobs of the queue %r in the outbox %s cannot be sent to the broker (%s): %r. They wait"
    " there, and other queues go on. Delete what the broker has under this name, or name the"
    " queue in TASKS['default']['QUEUES'] when it is not known."
)

# A process must not be forked while this one is in the middle of a statement or a message, each
# of which has its limit of time. One lock for each thread: they do not wait for each other.
busy: Final[list[Lock]] = []
_held: Final[list[Lock]] = []


def _before_fork() -> None:
    end = time.monotonic() + STATEMENT
    _held.extend(lock for lock in busy if lock.acquire(timeout=max(0, end - time.monotonic())))


def _after_fork() -> None:
    while _held:
        _held.pop().release()


if sys.platform != "win32":  # which does not fork
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


class NeverStartedError(Exception):
    """A job was sent many times and no worker has started it."""


class ProcessDiedError(Exception):
    """A job ended together with the process that ran it."""


class Relay(Thread):
    """Sends due jobs of one outbox until it is told to stop. Any number can run at once.

    Each is a thread, so that a database that hangs stops no other outbox.
    """

    def __init__(self, alias: str = "default") -> None:
        super().__init__(name=f"relay of {alias}", daemon=True)
        self.alias = alias
        self.stopping = Event()
        self.ticks = Ticks(alias)
        # By queue, or for everything: failures in a row, and when to try again.
        self.failures: Counter[str] = Counter()
        self.not_before: dict[str, float] = {}

    @cached_property
    def connection(self) -> Any:
        """The connection to the broker, which is opened when something is sent.

        It is none of Celery's pool: kombu closes those in every new process of the worker, and
        the socket is also the parent's.
        """
        from .celery_app import app

        return app.connection_for_write()

    def run(self) -> None:
        """Send what is due, now and from now on, until ``stop`` is called."""
        last_sent = -math.inf
        lock = Lock()
        busy.append(lock)
        try:
            while not self.stopping.is_set():
                with lock:
                    sent = self.send_due()
                if sent:
                    last_sent = time.monotonic()
                else:
                    is_idle = time.monotonic() - last_sent > IDLE_AFTER
                    self.stopping.wait(IDLE_POLL if is_idle else POLL)
        finally:
            busy.remove(lock)
            connections.close_all()
            self.connection.release()

    def stop(self) -> None:
        """Let ``run`` return after the messages that are being sent."""
        self.stopping.set()

    def send_due(self) -> bool:
        """Send what is due, at most two batches of each queue; say whether there was any.

        Failures are logged, the first in a row only, and end a pause later: of one queue, or of
        everything when the broker or the database is away.
        """
        if self._pauses(EVERYTHING):
            return False
        try:
            with cut_when_silent(self.alias):
                connect_with_limit(self.alias)
                self.ticks.look()
                queues = due_queues(self.alias) if is_due(self.alias) else []
            sent = [self._send_queue(queue) for queue in queues if not self._pauses(queue)]
        except Exception as error:  # noqa: BLE001 - whatever it is, jobs wait meanwhile
            self._pause(EVERYTHING, error)
            return False
        if EVERYTHING in self.failures and (any(sent) or not queues):
            self._recovered(EVERYTHING)
        return any(sent)

    def _send_queue(self, queue: str) -> bool:
        # A single one while the broker refuses: the others need not be moved about.
        limit = 1 if self.failures[queue] or self.failures[EVERYTHING] else BATCH
        try:
            if is_overdue(self.alias, queue) and self._messages(queue):
                self.not_before[queue] = time.monotonic() + DRAIN_POLL
                return False
            rows = claim(self.alias, queue, limit)
            if rows:
                publish(self.alias, rows, self.connection)
                self._recovered(queue)
        except DatabaseError:
            raise
        except Exception as error:
            if is_away(self.connection, error):
                raise
            self._pause(queue, error)
            return False
        return bool(rows)

    def _messages(self, queue: str) -> int:
        """Return how many messages wait at the broker in a queue."""
        with channel_of(self.connection) as channel:
            return int(queue_at(channel, queue).queue_declare().message_count)

    def _pauses(self, what: str) -> bool:
        return time.monotonic() < self.not_before.get(what, 0)

    def _pause(self, what: str, error: Exception) -> None:
        """Leave a queue or everything alone for a while; say why when it is the first time."""
        seconds = min(2 ** self.failures[what], LONGEST_PAUSE)
        self.not_before[what] = time.monotonic() + seconds * random.uniform(0.5, 1)  # noqa: S311
        self.failures[what] += 1
        if self.failures[what] == 1:
            if isinstance(error, DatabaseError):
                logger.error("The outbox %s cannot be read (%s). Jobs wait.", self.alias, error)
            elif what == EVERYTHING:
                logger.error(NOT_SENT, self.alias, broker_name(), error)
            else:
                logger.error(QUEUE_NOT_SENT, what, self.alias, broker_name(), error)
        connections[self.alias].close_if_unusable_or_obsolete()

    def _recovered(self, what: str) -> None:
        if self.failures.pop(what, 0):
            named = f"queue {what} of the outbox" if what else "outbox"
            logger.info("The %s %s is being sent again.", named, self.alias)


def relays() -> list[Relay]:
    """Return a relay for each outbox."""
    return [Relay(alias) for alias in outboxes()]


def is_due(alias: str) -> bool:
    """Say whether anything is due in an outbox. Asked all the time, so compiled only once."""
    with connections[alias].cursor() as cursor:
        cursor.execute(_due_query(alias), ())
        return cursor.fetchone() is not None


@cache
def _due_query(alias: str) -> str:
    due = Handoff.objects.using(alias).due().order_by().values("pk")
    # Jobs that take long are due all the while, and locked where rows can be.
    due = due.select_for_update(skip_locked=True)[:1]
    with transaction.atomic(using=alias):
        # It has no parameters, but the signs for them: per cent is written twice.
        return str(due.query.get_compiler(alias).as_sql()[0])


def due_queues(alias: str) -> list[str]:
    """List the queues of all unfinished jobs: one look into an index for each."""
    rows = (
        Handoff.objects.using(alias).unfinished().order_by("queue").values_list("queue", flat=True)
    )
    queues: list[str] = []
    while (queue := rows.filter(queue__gt=queues[-1] if queues else "").first()) is not None:
        queues.append(queue)
    return queues


def is_overdue(alias: str, queue: str) -> bool:
    """Say whether nobody has started in time what was sent to a queue."""
    overdue = Handoff.objects.using(alias).overdue()
    return overdue.filter(queue=queue, status=Status.SENT).exists()


def claim(alias: str, queue: str, limit: int = BATCH) -> list[Handoff]:
    """Take jobs of a queue that are due, so that no other relay sends them at the same time.

    They count as sent from now on, for a worker may be quicker than the next statement. A job
    that has come to its last message or its last process is given up instead. It costs the same
    whatever the backlog: every part of it reads a bounded piece of an index.
    """
    outbox = Handoff.objects.using(alias).filter(queue=queue)
    with cut_when_silent(alias), transaction.atomic(using=alias):
        room = WINDOW - outbox.at_broker().count()
        parts = [
            (outbox.overdue().order_by(), limit),
            (
                outbox.due().filter(status=Status.WAITING).order_by("-priority", "due_at", "pk"),
                max(min(room, limit), 0),
            ),
        ]
        due = [
            row
            for part, number in parts
            if number
            for row in part.select_for_update(skip_locked=True).defer(
                "arguments", "return_value", "traceback"
            )[:number]
        ]
        rows = []
        for row in due:
            if error := reason_to_give_up(row):
                give_up(alias, row, error, row.status)
            else:
                rows.append(row)
        for sends, group in groupby(sorted(rows, key=attrgetter("sends")), attrgetter("sends")):
            outbox.filter(pk__in=[row.pk for row in group]).update(
                status=Status.SENT,
                # The first time counts: what is sent again has been waiting all the while.
                sent_at=Coalesce("sent_at", Now()),
                sends=sends + 1,
                due_at=Now() + min(FIRST_PATIENCE * 2**sends, LONGEST_PATIENCE),
            )
    return rows


def reason_to_give_up(row: Handoff) -> Exception | None:
    """Return why a job that is due must not be sent once more; None when it may be."""
    retries = option(row.backend, "RETRIES", row.name)
    if row.status == Status.RUNNING and row.attempts > retries:
        return ProcessDiedError(f"The process of {row.worker} died while it ran the job.")
    if row.sends >= SENDS:
        return NeverStartedError(f"No worker has started what was sent {row.sends} times.")
    return None


def publish(alias: str, rows: list[Handoff], connection: Any) -> None:
    """Publish claimed jobs of a queue; when the broker does not take all, give them all back.

    Args:
        alias: of the outbox.
        rows: the jobs, all of one queue.
        connection: kombu's, to the broker.

    Raises:
        Exception: what the broker or its client raised. A message that did get through then
            finds its job waiting, and is ignored.
    """
    try:
        send(alias, rows, connection)
    except Exception:
        taken = Handoff.objects.using(alias).filter(pk__in=[row.pk for row in rows])
        with cut_when_silent(alias):
            taken.filter(status=Status.SENT).update(
                # Due for as long as they have been: how late they are must be seen meanwhile.
                status=Status.WAITING,
                sent_at=None,
                sends=F("sends") - 1,
                due_at=min(row.due_at for row in rows if row.due_at),
            )
        raise
