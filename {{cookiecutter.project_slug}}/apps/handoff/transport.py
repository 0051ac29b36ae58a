"""A broker that needs no installation: the memory of the worker.

The relay is a thread of the worker and adds messages. The worker takes them out. Messages that are
lost with the process are sent again from the outbox.
"""

from contextlib import suppress
from typing import Any, Final

from kombu.transport import memory

# Seconds between two looks for messages in an idle worker.
POLL: Final = 0.05


class Transport(memory.Transport):
    """Kombu's transport ``memory``, read by the event loop of the worker.

    Without an event loop, the processes of a worker share one queue and its lock. If a process
    were killed while it holds the lock, all others would stop for ever.
    """

    implements = memory.Transport.implements.extend(asynchronous=True)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take messages out in intervals, and after each job."""

        def take() -> None:
            with suppress(TimeoutError):
                while True:
                    self.drain_events(connection, timeout=0)

        loop.on_tick.add(take)
        loop.call_repeatedly(POLL, take)
