"""Messages to the broker. A message is the key of a row, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError
from django.db.models import F
from kombu import Producer
from kombu.exceptions import OperationalError

from .broker import ONE_TRY
from .limits import cut_when_silent
from .models import Handoff, Status


@contextmanager
def queue_at(connection: Any, name: str) -> Iterator[Any]:
    """Give a queue at the broker of kombu's connection, and connect if necessary.

    Raises:
        KeyError: if ``TASKS`` does not name the queue, so no worker would read it.
        Exception: an error of the broker or its client. The connection is then closed, because
            a late answer could be taken for the answer to another request.
    """
    from .celery import app

    try:
        connection.ensure_connection(**ONE_TRY)
        yield app.amqp.queues[name](connection.default_channel)
    except Exception:
        connection.collect()
        raise


def is_away(connection: Any, error: Exception) -> bool:
    """Whether an error means that broker or database are away. Others are about one queue."""
    away = (OperationalError, TimeoutError, DatabaseError)
    return isinstance(error, (*connection.connection_errors, *away))


def publish(alias: str, rows: list[Handoff], connection: Any) -> None:
    """Send a message for each claimed job; return when the broker has all of them.

    Args:
        alias: of the outbox.
        rows: the jobs, all of one queue.
        connection: kombu's, to the broker.

    Raises:
        Exception: see ``queue_at``. All the jobs are then waiting again. Some messages may have
            arrived. A worker ignores them, because their jobs are waiting.
    """
    try:
        with queue_at(connection, rows[0].queue) as queue:
            _send(alias, rows, queue)
            if connection.transport.driver_type == "amqp":
                # RabbitMQ answers in order: after this answer it has all earlier messages.
                queue.queue_declare(passive=True)
    except Exception:
        taken = Handoff.objects.using(alias).filter(pk__in=[row.pk for row in rows])
        with cut_when_silent(alias):
            taken.filter(status=Status.SENT).update(
                # The old time, so that a long wait is noticed.
                status=Status.WAITING,
                sent_at=None,
                sends=F("sends") - 1,
                due_at=min(row.due_at for row in rows if row.due_at),
            )
        raise


def _send(alias: str, rows: list[Handoff], queue: Any) -> None:
    from .celery import app

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
                retries=row.attempts,
                ignore_result=True,
                # Lost messages are sent again, so the broker need not write them to disk.
                delivery_mode="transient",
                producer=producer,
                retry=False,
            )
