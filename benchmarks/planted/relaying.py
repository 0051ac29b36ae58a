"""Runs the relay in a separate process, until SIGTERM: ``python -m apps.planted.relaying``.

In a project the relay is a thread of the worker. The benchmarks also kill relays alone, and run
several of them beside the workers.
"""

import signal
from typing import Any

import django


def main() -> None:
    """Run a relay for each outbox."""
    django.setup()
    from apps.handoff.backend import outboxes
    from apps.handoff.limits import limit_connections
    from apps.handoff.relay import Relay

    limit_connections()
    relays = [Relay(alias) for alias in outboxes()]

    def stop(*args: Any) -> None:
        for relay in relays:
            relay.stop()

    signal.signal(signal.SIGTERM, stop)
    for relay in relays:
        relay.start()
    for relay in relays:
        relay.join()


if __name__ == "__main__":
    main()
