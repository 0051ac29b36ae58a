"""The relay: it sends due jobs from an outbox to the broker, and sends them again when needed.

A message is the key of a row, and nothing else.
"""

import logging
import os
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import cache, cached_property
from itertools import groupby
from operator import attrgetter
from threading import Event, Lock, Thread
from typing import Any, Final, NamedTuple

from celery.exceptions import WorkerLostError
from django.db import DatabaseError, connections, transaction
from django.db import OperationalError as LockedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from kombu import Producer
from kombu.exceptions import OperationalError

from .backend import option
from .broker import ONE_TRY
from .limits import LIMITS, STATEMENT, cut_when_silent, limited
from .models import Handoff, Status
from .periodic import hand_off_due
from .receipts import Run, SupersededError

logger = logging.getLogger(__name__)

# Seconds between two looks at an outbox in which no job is due. After a while without jobs the
# relay looks less often, because each look costs the database a little.
POLL: Final = 0.05
IDLE_POLL: Final = 0.1
IDLE_AFTER: Final = 30
# Seconds between two looks at the periodic jobs, and at a queue that is not empty yet.
SLOW_POLL: Final = 1
# The longest pause, in seconds, between two tries while the broker or a database is away.
LONGEST_PAUSE: Final = 10

# The jobs of one claim at most.
BATCH: Final = 200
# The jobs of a queue that are at the broker at most. The others wait in the outbox, where jobs of
# a higher priority pass them.
WINDOW: Final = 1000

# The relay sends a job again if no worker has started it for so long, and its queue at the broker
# is empty. The time doubles with each message, up to the second value. A queue with messages may
# wait for a good reason, such as a rate limit. Jobs that a dead relay claimed are sent this way too.
FIRST_PATIENCE: Final = timedelta(minutes=1)
LONGEST_PATIENCE: Final = timedelta(hours=1)

# In place of a queue's name, for a pause of the whole relay.
EVERYTHING: Final = ""

NOT_SENT: Final = (
    "The jobs of %s cannot be sent to the broker (%s): %r. They wait: start the broker, or correct"
    " CELERY_BROKER_URL. If this is about one queue, delete it at the broker, or add it to"
    " TASKS['default']['QUEUES']."
)

# Of this worker, which must not fork while one of them runs a statement or sends a message.
relays: Final[list["Relay"]] = []
_held_for_fork: Final = ExitStack()


def _before_fork() -> None:
    end = time.monotonic() + STATEMENT
    for relay in relays:
        # A process that inherits a connection to SQLite has no locks, and can lose its commits.
        sqlite = relay.database if relay.database and relay.database.vendor == "sqlite" else None
        if relay.lock.acquire(timeout=-1 if sqlite else max(0, end - time.monotonic())):
            _held_for_fork.callback(relay.lock.release)
            if sqlite:
                sqlite.close()


if sys.platform != "win32":  # Windows has no fork
    release = _held_for_fork.close
    os.register_at_fork(before=_before_fork, after_in_parent=release, after_in_child=release)


class Ended(NamedTuple):
    """The end of an attempt whose own process could not write it; see ``worker.end_attempt``."""

    key: str
    worker: str
    error: BaseException
    for_good: bool | None
    reported: float  # on the monotonic clock
    run: Run | None = None


class Relay(Thread):
    """Sends due jobs of one outbox until it is told to stop. Several can run at once.

    Each outbox has its own thread. So a database that hangs does not stop the other outboxes.
    """

    def __init__(self, alias: str = "default") -> None:
        super().__init__(name=f"relay of {alias}", daemon=True)
        self.alias = alias
        self.stopping = Event()
        self.lock = Lock()
        self.database: BaseDatabaseWrapper | None = None
        self.ended: deque[Ended] = deque()
        self.periodic_not_before = 0.0
        # For each queue or EVERYTHING: the failures in a row, and the time of the next try.
        self.failures: Counter[str] = Counter()
        self.not_before: dict[str, float] = {}

    @cached_property
    def connection(self) -> Any:
        """The connection to the broker, which is opened for the first message.

        It is not from Celery's pool. In each new child process kombu closes the connections of the
        pool, and so would close this process's socket too.
        """
        from .celery_app import app

        return app.connection_for_write()

    def run(self) -> None:
        """Send due jobs until ``stop`` is called."""
        last_sent = 0.0
        self.database = connections[self.alias]
        self.database.inc_thread_sharing()  # another thread closes it, before a fork
        try:
            while not self.stopping.is_set():
                with self.lock:
                    self.write_ends()
                    sent = self.send_due()
                if sent:
                    last_sent = time.monotonic()
                else:
                    is_idle = time.monotonic() - last_sent > IDLE_AFTER
                    self.stopping.wait(IDLE_POLL if is_idle else POLL)
        finally:
            self.write_ends()
            connections.close_all()
            self.connection.release()

    def stop(self) -> None:
        """Let ``run`` return after the current messages."""
        self.stopping.set()

    def write_ends(self) -> None:
        """Write the ends of attempts, or leave them for the next look while the row is locked."""
        for _ in range(len(self.ended)):
            end = self.ended.popleft()
            try:
                with limited(self.alias):
                    self._write_end(end)
            except Exception:
                logger.exception("The job %s will be sent again when its time is over.", end.key)
                connections[self.alias].close_if_unusable_or_obsolete()

    def _write_end(self, end: Ended) -> None:
        run = end.run or Run.of(self.alias, end.key)
        if run and run.row.status == Status.SENT:  # it ended before it was started
            run.start(end.worker)
        if run is None or run.row.worker != end.worker:
            return
        try:
            with suppress(SupersededError), transaction.atomic(using=self.alias):
                list(run.rows().select_for_update(nowait=True).values_list("pk"))
                run.fail(end.error, for_good=end.for_good)
        except LockedError:  # PostgreSQL keeps a lock of a dead process until its query ends
            if time.monotonic() > end.reported + run.lease.total_seconds():
                raise
            self.ended.append(end._replace(run=run))

    def send_due(self) -> bool:
        """Send due jobs, at most two batches of each queue; return whether there were any.

        After a failure the queue pauses, or everything if the broker or the database is away.
        """
        if self._pauses(EVERYTHING):
            return False
        try:
            with cut_when_silent(self.alias):
                if time.monotonic() >= self.periodic_not_before:
                    hand_off_due(self.alias)
                    self.periodic_not_before = time.monotonic() + SLOW_POLL
                queues = due_queues(self.alias) if is_due(self.alias) else []
            sent = [self._send_queue(queue) for queue in queues if not self._pauses(queue)]
        except Exception as error:  # noqa: BLE001 - the relay must go on after any error
            self._pause(EVERYTHING, error)
            return False
        if any(sent) or not queues:
            del self.failures[EVERYTHING]
        return any(sent)

    def _send_queue(self, queue: str) -> bool:
        # While the broker refuses messages, one job is enough to try.
        limit = 1 if self.failures[queue] or self.failures[EVERYTHING] else BATCH
        try:
            with limited(self.alias):
                overdue = Handoff.objects.using(self.alias).overdue()
                is_overdue = overdue.filter(queue=queue, status=Status.SENT).exists()
            if is_overdue and self._messages(queue):
                self.not_before[queue] = time.monotonic() + SLOW_POLL
                return False
            rows = claim(self.alias, queue, limit)
            if rows:
                publish(self.alias, rows, self.connection)
                del self.failures[queue]
        except Exception as error:
            # With these the broker or the database is away. Others are about this queue.
            away = (OperationalError, TimeoutError, DatabaseError)
            if isinstance(error, (*self.connection.connection_errors, *away)):
                raise
            self._pause(queue, error)
            return False
        return bool(rows)

    def _messages(self, queue: str) -> int:
        """Return how many messages wait at the broker in a queue."""
        with queue_at(self.connection, queue) as found:
            return int(found.queue_declare().message_count)

    def _pauses(self, what: str) -> bool:
        return time.monotonic() < self.not_before.get(what, 0)

    def _pause(self, what: str, error: Exception) -> None:
        """Try a queue or everything again later; log the reason if it is the first failure."""
        seconds = min(2 ** self.failures[what], LONGEST_PAUSE)
        self.not_before[what] = time.monotonic() + seconds * random.uniform(0.5, 1)  # noqa: S311
        self.failures[what] += 1
        if self.failures[what] == 1:
            if isinstance(error, DatabaseError):
                logger.error("The outbox %s cannot be read (%s). Jobs wait.", self.alias, error)
            else:
                named = f"the outbox {self.alias}" + (f", queue {what!r}," if what else "")
                # The address of the broker is told without the password.
                logger.error(NOT_SENT, named, self.connection.as_uri(), error)
        connections[self.alias].close_if_unusable_or_obsolete()


def is_due(alias: str) -> bool:
    """Whether a job is due in an outbox. This runs many times a second, so it is compiled once."""
    with connections[alias].cursor() as cursor:
        cursor.execute(_due_query(alias))
        while connections[alias].vendor == "postgresql" and cursor.nextset():
            pass  # the results of LIMITS
        return cursor.fetchone() is not None


@cache
def _due_query(alias: str) -> str:
    due = Handoff.objects.using(alias).due().order_by().values("pk")
    # A long job is due while it runs. PostgreSQL skips it here, because its row is locked.
    due = due.select_for_update(skip_locked=True)[:1]
    with transaction.atomic(using=alias):
        sql = due.query.get_compiler(alias).as_sql()[0] % ()
    return LIMITS + sql if connections[alias].vendor == "postgresql" else str(sql)


def due_queues(alias: str) -> list[str]:
    """List the queues of unfinished jobs, with one index lookup for each queue."""
    unfinished = Handoff.objects.using(alias).filter(due_at__isnull=False)
    rows = unfinished.order_by("queue").values_list("queue", flat=True)
    queues: list[str] = []
    while (queue := rows.filter(queue__gt=queues[-1] if queues else "").first()) is not None:
        queues.append(queue)
    return queues


def claim(alias: str, queue: str, limit: int = BATCH) -> list[Handoff]:
    """Mark due jobs of a queue as sent, so that no other relay sends them too; return them.

    They are marked first, because a worker may be quicker than the next statement. A job whose
    process died at its last attempt fails instead. Each statement reads a limited part of an index.
    """
    outbox = Handoff.objects.using(alias).filter(queue=queue)
    with limited(alias), transaction.atomic(using=alias, savepoint=False):
        room = WINDOW - outbox.at_broker().count()
        locked = outbox.select_for_update(skip_locked=True)
        locked = locked.defer("arguments", "return_value", "traceback")
        overdue = locked.overdue().order_by()[:limit]
        waiting = locked.due().filter(status=Status.WAITING)
        waiting = waiting.order_by("-priority", "due_at", "pk")[: max(min(room, limit), 0)]
        rows = []
        for row in [*overdue, *waiting]:
            retries = option(row.backend, "RETRIES", row.name)
            if row.status == Status.RUNNING and row.attempts > retries:
                error = WorkerLostError(f"The process of {row.worker} died while it ran the job.")
                Run(alias, row).fail(error)
            else:
                rows.append(row)
        for sends, group in groupby(sorted(rows, key=attrgetter("sends")), attrgetter("sends")):
            outbox.filter(pk__in=[row.pk for row in group]).update(
                status=Status.SENT,
                # The first message counts: a job that is sent again has waited since then.
                sent_at=Coalesce("sent_at", Now()),
                sends=sends + 1,
                due_at=Now() + min(FIRST_PATIENCE * 2 ** min(sends, 10), LONGEST_PATIENCE),
            )
    return rows


@contextmanager
def queue_at(connection: Any, name: str) -> Iterator[Any]:
    """Give a queue at the broker of kombu's connection, and connect if necessary.

    Raises KeyError if ``TASKS`` does not name the queue. After an error the connection is closed,
    because a late answer could be taken for the answer to another request.
    """
    from .celery_app import app

    try:
        connection.ensure_connection(**ONE_TRY)
        yield app.amqp.queues[name](connection.default_channel)
    except Exception:
        connection.collect()
        raise


def publish(alias: str, rows: list[Handoff], connection: Any) -> None:
    """Send a message for each claimed job of a queue; return when the broker has all of them.

    After an error all the jobs are waiting again. A worker ignores messages that have arrived.
    """
    try:
        with queue_at(connection, rows[0].queue) as queue:
            _send(alias, rows, queue)
            if connection.transport.driver_type == "amqp":
                # RabbitMQ answers in order: after this answer it has all earlier messages.
                queue.queue_declare(passive=True)
    except Exception:
        taken = Handoff.objects.using(alias).filter(pk__in=[row.pk for row in rows])
        with limited(alias):
            taken.filter(status=Status.SENT).update(
                # The old time, so that a long wait is noticed.
                status=Status.WAITING,
                sent_at=None,
                sends=F("sends") - 1,
                due_at=min(row.due_at for row in rows if row.due_at),
            )
        raise


def _send(alias: str, rows: list[Handoff], queue: Any) -> None:
    from .celery_app import app

    # A broker that was emptied meanwhile has no queues.
    queue.declare()
    producer: Any = Producer(queue.channel, auto_declare=False)
    with producer.batch():  # one step for Redis
        for row in rows:
            # A worker remembers revoked ids, so each attempt has another one.
            last = row.last_attempted_at
            app.send_task(
                row.name,
                task_id=str(row.pk) if last is None else f"{row.pk}.{last:%H%M%S%f}",
                queue=row.queue,
                declare=[],
                headers={"handoff": [alias, str(row.pk)]},
                # Lost messages are sent again, so the broker need not write them to disk.
                delivery_mode="transient",
                producer=producer,
                retry=False,
            )
