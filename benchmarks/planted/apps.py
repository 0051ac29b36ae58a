"""The app, and how patient the project's relay is while it is tested."""

import os
from datetime import timedelta

from django.apps import AppConfig


class PlantedConfig(AppConfig):
    """Orders and their jobs."""

    name = "apps.planted"

    def ready(self) -> None:
        """Send again after ``LOAD_PATIENCE`` seconds, where the environment says so."""
        patience = os.environ.get("LOAD_PATIENCE")
        if patience:
            from apps.handoff import relay

            relay.FIRST_PATIENCE = timedelta(seconds=float(patience))
