"""The app, and how patient the project's relay is while it is tested."""

import os
from datetime import timedelta
from pathlib import Path

from django.apps import AppConfig


class PlantedConfig(AppConfig):
    """Orders and their jobs."""

    name = "apps.planted"

    def ready(self) -> None:
        """Do what the environment says.

        Send again after ``LOAD_PATIENCE`` seconds; hand ticks off, often, while the file
        ``LOAD_TICKS`` is there.
        """
        patience = os.environ.get("LOAD_PATIENCE")
        if patience:
            from apps.handoff import relay

            relay.FIRST_PATIENCE = timedelta(seconds=float(patience))
        if ticking := os.environ.get("LOAD_TICKS"):
            from apps.handoff import relay

            hand_off_due = relay.hand_off_due
            relay.SLOW_POLL = 0.1

            def while_ticking(alias: str) -> None:
                if Path(ticking).exists():
                    hand_off_due(alias)

            relay.hand_off_due = while_ticking
