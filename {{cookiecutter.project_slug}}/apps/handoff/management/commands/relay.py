"""``manage.py relay``: the relay as a process of its own."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from apps.handoff.relay import Relay


class Command(BaseCommand):
    """Sends jobs from the outbox to the broker until it is stopped."""

    help = (
        "Send jobs from the outbox to the broker, until SIGTERM or Ctrl+C. The worker does so"
        " too, unless TASKS['default']['OPTIONS']['RELAY_IN_WORKER'] is False."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the relay; end after the messages that are being sent."""
        relay = Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        self.stdout.write("The relay is running.")
        relay.run()
        self.stdout.write("The relay has stopped.")
