"""``manage.py relay``: the relay as a process of its own."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.handoff.broker import is_embedded
from apps.handoff.limits import limit_connections
from apps.handoff.relay import relays


class Command(BaseCommand):
    """Sends jobs from the outbox to the broker until it is stopped."""

    help = (
        "Send jobs from the outbox to the broker, until SIGTERM or Ctrl+C. The worker does so"
        " too, unless TASKS['default']['OPTIONS']['RELAY_IN_WORKER'] is False."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run a relay for each outbox; end after the messages that are being sent."""
        if is_embedded():
            raise CommandError(
                "With CELERY_BROKER_URL=memory:// the relay runs in the worker, and nowhere else."
            )
        limit_connections()
        running = relays()

        def stop(*args: Any) -> None:
            for relay in running:
                relay.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        for relay in running:
            relay.start()
        self.stdout.write("The relay is running.")
        for relay in running:
            relay.join()
        self.stdout.write("The relay has stopped.")
