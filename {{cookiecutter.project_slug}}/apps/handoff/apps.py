"""The app that takes background jobs to a Celery worker."""

from apps.core import modules


class HandoffConfig(modules.ModuleConfig):
    """Background jobs in a Celery worker."""

    name = "apps.handoff"
    verbose_name = "Handoff"
    summary = "Background jobs in a Celery worker, none lost and none without its commit."

    def ready(self) -> None:
        """Load the backend, and with it the check of its settings."""
        from . import backend  # noqa: F401
