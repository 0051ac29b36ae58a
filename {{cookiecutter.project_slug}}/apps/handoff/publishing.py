"""Messages to the broker: each is the key of a row, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Producer
from kombu.exceptions import OperationalError

from .broker import ONE_TRY
from .models import Handoff


@contextmanager
def channel_of(connection: Any) -> Iterator[Any]:
    """Give the channel of kombu's connection to the broker, which is opened when it is not.

    Raises:
        Exception: the broker's or its client's. The connection is then closed: what a late
            answer would belong to, nothing could say any more.
    """
    try:
        connection.ensure_connection(**ONE_TRY)
        yield connection.default_channel
    except Exception:
        connection.collect()
        raise


def is_away(connection: Any, error: Exception) -> bool:
    """Whether an error means that the broker is away, and not that it refuses one queue."""
    return isinstance(error, (*connection.connection_errors, OperationalError, TimeoutError))


def queue_at(channel: Any, name: str) -> Any:
    """Return a queue of the project as it is at the broker.

    Raises:
        KeyError: when ``TASKS`` does not name it, so that no worker would read it.
    """
    from .celery_app import app

    return app.amqp.queues[name](channel)


def send(alias: str, rows: list[Handoff], connection: Any) -> None:
    """Send a message for each row; return when the broker has them all.

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
        # Each time: a broker that was emptied has no queues.
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
                    # What the broker loses is sent again, so it need not be written to its disk.
                    delivery_mode="transient",
                    producer=producer,
                    retry=False,
                )
        if connection.transport.driver_type == "amqp":
            # RabbitMQ answers in order: with this answer it has all that came before.
            queue.queue_declare(passive=True)


def message_id(row: Handoff) -> str:
    """Return the id of a job at Celery: another one for each attempt.

    A worker remembers ids that were revoked, and would discard the job for ever.
    """
    last = row.last_attempted_at
    return str(row.pk) if last is None else f"{row.pk}.{last:%H%M%S%f}"
