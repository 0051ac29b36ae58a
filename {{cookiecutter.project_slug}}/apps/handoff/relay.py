"""The relay: sends what is due from the outboxes to the broker, and sends it again when needed."""

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
from django.db.models import Count
from django.db.models.functions import Coalesce, Now

from .backend import option, outboxes
from .broker import broker_name
from .models import Handoff, Status
from .receipts import Run, give_up

logger = logging.getLogger(__name__)

# Seconds between two looks at an outbox in which nothing is due: while jobs come in, and when
# none has come for a while, as every look costs the database a little.
POLL: Final = 0.05
IDLE_POLL: Final = 0.1
IDLE_AFTER: Final = 30
# Seconds between two tries while the broker or a database is away, at most.
LONGEST_PAUSE: Final = 10

BATCH: Final = 200
# What a relay has taken and not sent by then, another one sends: the first has died.
LEASE: Final = timedelta(seconds=30)
# So many jobs of a queue are at the broker at most; the others wait in the outbox, where
# those of a higher priority pass them.
WINDOW: Final = 1000

# What nobody has started by then is sent again: after the first time, and at most.
FIRST_PATIENCE: Final = timedelta(minutes=1)
LONGEST_PATIENCE: Final = timedelta(hours=1)
# A bit over a day. Then no worker reads the queue, or the broker throws messages away.
SENDS: Final = 30

NOT_SENT: Final = (
    "The jobs of the outbox %s cannot be sent to the broker (%s): %s. They wait there, and are"
    " sent when it can be reached again. Start it, or correct CELERY_BROKER_URL."
)

# A process must not be forked while this one is in the middle of a statement or a message.
at_rest: Final = Lock()
if sys.platform != "win32":  # which does not fork
    os.register_at_fork(
        before=at_rest.acquire, after_in_parent=at_rest.release, after_in_child=at_rest.release
    )


class NeverStartedError(Exception):
    """A job was sent many times and no worker has started it."""


class ProcessDiedError(Exception):
    """A job ended together with the process that ran it."""


class Relay:
    """Sends due jobs until it is told to stop. Any number of relays can run at once."""

    def __init__(self) -> None:
        self.stopping = Event()
        self.running = False
        self.thread: Thread | None = None
        # By the alias of the outbox: failures in a row, and when to try again.
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
        self.running = True
        aliases = outboxes()
        last_sent = -math.inf
        try:
            while not self.stopping.is_set():
                with at_rest:
                    sent = [self.send_due(alias) for alias in aliases]
                if any(sent):
                    last_sent = time.monotonic()
                else:
                    is_idle = time.monotonic() - last_sent > IDLE_AFTER
                    self.stopping.wait(IDLE_POLL if is_idle else POLL)
        finally:
            self.running = False
            connections.close_all()
            self.connection.release()

    def start(self) -> None:
        """Run in a thread of its own."""
        self.running = True
        self.thread = Thread(target=self.run, name="relay", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Let ``run`` return after the messages that are being sent."""
        self.stopping.set()

    def join(self) -> None:
        """Wait until ``run`` has returned, where it runs in a thread, but not for ever."""
        if self.thread is not None:
            self.thread.join(LONGEST_PAUSE)

    def send_due(self, alias: str) -> bool:
        """Send what is due in an outbox, at most a batch; say whether there was any.

        Failures are logged, the first in a row only, and end a pause later.
        """
        if time.monotonic() < self.not_before.get(alias, 0):
            return False
        try:
            # A single one while the broker is away: the others need not be moved about.
            limit = 1 if self.failures[alias] else BATCH
            rows = claim(alias, limit) if is_due(alias) else []
            if rows:
                publish(alias, rows, self.connection)
            elif not self.failures[alias]:
                return False
        except Exception as error:  # noqa: BLE001 - whatever it is, jobs wait meanwhile
            self.pause(alias, error)
            return False
        if self.failures.pop(alias, 0):
            logger.info("The outbox %s is being sent again.", alias)
        return bool(rows)

    def pause(self, alias: str, error: Exception) -> None:
        """Leave an outbox alone for a while; say why when it is the first time."""
        seconds = min(2 ** self.failures[alias], LONGEST_PAUSE)
        self.not_before[alias] = time.monotonic() + seconds * random.uniform(0.5, 1)  # noqa: S311
        self.failures[alias] += 1
        if self.failures[alias] == 1:
            if isinstance(error, DatabaseError):
                logger.error("The outbox %s cannot be read (%s). Jobs wait in it.", alias, error)
            else:
                logger.error(NOT_SENT, alias, broker_name(), error)
        connections[alias].close_if_unusable_or_obsolete()


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


def claim(alias: str, limit: int) -> list[Handoff]:
    """Take jobs that are due, so that no other relay sends them at the same time.

    They count as sent from now on, for a worker may be quicker than the next statement. A job
    that has come to its last message or its last process is given up instead.
    """
    outbox = Handoff.objects.using(alias)
    with transaction.atomic(using=alias):
        at_broker = outbox.at_broker().order_by().values_list("queue").annotate(Count("pk"))
        full = [queue for queue, count in at_broker if count >= WINDOW]
        due = list(
            outbox.due()
            .exclude(status=Status.WAITING, queue__in=full)
            .order_by("-priority", "due_at", "pk")
            .select_for_update(skip_locked=True)
            .defer("return_value", "traceback")[:limit]
        )
        hopeless = {row.pk: error for row in due if (error := reason_to_give_up(row))}
        for row in due:
            if row.pk in hopeless:
                give_up(alias, [row], hopeless[row.pk])
        rows = [row for row in due if row.pk not in hopeless]
        outbox.filter(pk__in=[row.pk for row in rows]).update(
            # The first time counts: what is sent again has been waiting all the while.
            status=Status.SENT,
            sent_at=Coalesce("sent_at", Now()),
            due_at=Now() + LEASE,
        )
    return rows


def reason_to_give_up(row: Handoff) -> Exception | None:
    """Return why a job that is due must not be sent once more; None when it may be."""
    if row.status == Status.RUNNING and row.attempts > option(row.backend, "RETRIES"):
        return ProcessDiedError(f"The process of {row.worker} died while it ran the job.")
    if row.sends >= SENDS:
        return NeverStartedError(f"No worker has started what was sent {row.sends} times.")
    return None


def publish(alias: str, rows: list[Handoff], connection: Any) -> None:
    """Publish claimed jobs; when the broker does not take them all, give them all back.

    Args:
        alias: of the outbox.
        rows: the jobs.
        connection: kombu's, to the broker.

    Raises:
        Exception: what the broker or its client raised. A message that did get through then
            finds its job waiting, and is ignored.
    """
    outbox = Handoff.objects.using(alias)
    try:
        _send(alias, rows, connection)
    except Exception:
        outbox.filter(pk__in=[row.pk for row in rows], status=Status.SENT).update(
            # Due for as long as they have been: how late they are must be seen meanwhile.
            status=Status.WAITING,
            sent_at=None,
            due_at=min(row.due_at for row in rows if row.due_at),
        )
        raise
    for sends, group in groupby(sorted(rows, key=attrgetter("sends")), attrgetter("sends")):
        outbox.filter(pk__in=[row.pk for row in group], status=Status.SENT).update(
            sends=sends + 1, due_at=Now() + min(FIRST_PATIENCE * 2**sends, LONGEST_PATIENCE)
        )


def _send(alias: str, rows: list[Handoff], connection: Any) -> None:
    from .batches import batch
    from .celery_app import app

    with batch(connection) as producer:
        # Once for all of them, and each time: a broker that was emptied has no queues.
        for queue in {row.queue for row in rows}:
            app.amqp.queues[queue](producer.channel).declare()
        for row in rows:
            app.send_task(
                row.name,
                # As text: kombu's JSON would make something else of some values.
                [row.arguments],
                task_id=str(row.pk),
                queue=row.queue,
                declare=[],
                headers={"handoff": Run.message(alias, row)},
                retries=row.attempts,
                ignore_result=True,
                producer=producer,
                retry=False,
            )
