"""The app that takes background jobs to a Celery worker."""

from apps.core import modules


class HandoffConfig(modules.ModuleConfig):
    """Background jobs in a Celery worker."""

    name = "apps.handoff"
    verbose_name = "Handoff"
    summary = "Background jobs in a Celery worker, none lost and none without its commit."

    def health(self) -> modules.Health:
        """Return DEGRADED if a job waits for too long. A web process cannot change that."""
        from .backend import outboxes
        from .state import is_late

        late = any(is_late(alias) for alias in outboxes())
        return modules.Health.DEGRADED if late else modules.Health.OK

    def ready(self) -> None:
        """Load the backend and the periodic jobs, with the checks of their settings."""
        from . import backend, periodic  # noqa: F401
