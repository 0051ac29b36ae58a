"""The broker with nothing installed: the worker's own memory.

The relay, a thread of the worker, puts messages in, and the worker takes them out. What is lost
with the process is sent again from the outbox.
"""

from contextlib import suppress
from typing import Any, Final

from kombu.transport import memory

# Seconds between two looks for messages, while nothing else happens.
POLL: Final = 0.05


class Transport(memory.Transport):
    """Kombu's transport ``memory``, read by the event loop of the worker.

    Without an event loop the processes of a worker share one queue and its lock: a process that
    is killed while it holds the lock stops all others for ever.
    """

    implements = memory.Transport.implements.extend(asynchronous=True)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take messages out now and then, and whenever a job has ended."""

        def take() -> None:
            with suppress(TimeoutError):
                while True:
                    self.drain_events(connection, timeout=0)

        loop.on_tick.add(take)
        loop.call_repeatedly(POLL, take)
