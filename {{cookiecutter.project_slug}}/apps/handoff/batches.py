"""Many messages at once, without waiting for the broker after each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import MessageNacked
from kombu import Producer

from .broker import ONE_TRY, PATIENCE


@contextmanager
def batch(connection: Any) -> Iterator[Any]:
    """Publish what is sent with the producer of the block, all of it when the block ends.

    Args:
        connection: kombu's, to the broker; opened when it is not open, or not any more.

    Raises:
        Exception: the broker's or its client's, when it does not have all of the messages.
    """
    try:
        connection.ensure_connection(**ONE_TRY)
        if connection.transport.driver_type == "amqp":
            # A channel of its own, on which the first message has the number 1.
            channel = connection.channel()
            confirmations = Confirmations(channel)
            yield Producer(channel, auto_declare=False)
            confirmations.wait()
            channel.close()
        else:
            producer: Any = Producer(connection)
            with producer.batch():  # which Redis has, and a folder does not need
                yield producer
    except Exception:
        # What an answer that is late would belong to, nobody could say any more.
        connection.collect()
        raise


class Confirmations:
    """Which messages of a channel RabbitMQ has not confirmed yet."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.published = 0
        self.missing: set[int] = set()
        self.refused = False
        self.send = channel._basic_publish
        channel.events["basic_ack"].add(self.confirm)
        channel.events["basic_nack"].add(self.refuse)
        channel.confirm_select()
        channel.basic_publish = self.publish

    def publish(self, *args: Any, **kwargs: Any) -> Any:
        """Publish a message, and do not wait."""
        self.published += 1
        self.missing.add(self.published)
        return self.send(*args, **kwargs)

    def confirm(self, tag: int, multiple: bool) -> None:
        """Note that the broker has a message, or all up to it."""
        self.missing -= set(range(1, tag + 1)) if multiple else {tag}

    def refuse(self, tag: int, multiple: bool) -> None:
        """Note that the broker does not take a message."""
        self.confirm(tag, multiple)
        self.refused = True

    def wait(self) -> None:
        """Return when the broker has all messages.

        Raises:
            TimeoutError: when it says nothing for too long.
            MessageNacked: when it has refused one.
        """
        while self.missing:
            self.channel.connection.drain_events(timeout=PATIENCE)
        if self.refused:
            raise MessageNacked
