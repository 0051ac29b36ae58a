"""Messages to the broker. A message is the key of a row, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Producer
from kombu.exceptions import OperationalError

from .broker import ONE_TRY
from .models import Handoff


@contextmanager
def channel_of(connection: Any) -> Iterator[Any]:
    """Give the channel of kombu's connection to the broker, and connect if necessary.

    Raises:
        Exception: an error of the broker or its client. The connection is then closed, because
            a late answer could be taken for the answer to another request.
    """
    try:
        connection.ensure_connection(**ONE_TRY)
        yield connection.default_channel
    except Exception:
        connection.collect()
        raise


def is_away(connection: Any, error: Exception) -> bool:
    """Whether an error means that the broker is away. Other errors are about one queue."""
    return isinstance(error, (*connection.connection_errors, OperationalError, TimeoutError))


def queue_at(channel: Any, name: str) -> Any:
    """Return a queue of the project, bound to a channel.

    Raises:
        KeyError: if ``TASKS`` does not name the queue, so no worker would read it.
    """
    from .celery_app import app

    return app.amqp.queues[name](channel)


def send(alias: str, rows: list[Handoff], connection: Any) -> None:
    """Send a message for each row; return when the broker has all of them.

    Args:
        alias: of the outbox.
        rows: all of one queue.
        connection: kombu's, to the broker.

    Raises:
        Exception: see ``channel_of`` and ``queue_at``.
    """
    from .celery_app import app

    with channel_of(connection) as channel:
        queue = queue_at(channel, rows[0].queue)
        # A broker that was emptied meanwhile has no queues.
        queue.declare()
        producer: Any = Producer(channel, auto_declare=False)
        with producer.batch():  # one step for Redis
            for row in rows:
                app.send_task(
                    row.name,
                    task_id=message_id(row),
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
        if connection.transport.driver_type == "amqp":
            # RabbitMQ answers in order: after this answer it has all earlier messages.
            queue.queue_declare(passive=True)


def message_id(row: Handoff) -> str:
    """Return the id of a job for Celery: another one for each attempt.

    A worker remembers revoked ids, and discards every message with such an id.
    """
    last = row.last_attempted_at
    return str(row.pk) if last is None else f"{row.pk}.{last:%H%M%S%f}"
