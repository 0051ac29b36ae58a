"""What Celery loads in a process that has not imported ``shared_tasks``, see ``apps.py``."""

from typing import Any, Never

from celery.loaders.base import BaseLoader
from django.core.exceptions import ImproperlyConfigured


def refuse(name: str, *args: Any, **kwargs: Any) -> Never:
    """Send no message. It would go to a queue that no worker reads."""
    raise ImproperlyConfigured(
        f"The Celery task {name} cannot be handed off here: import apps.handoff.shared_tasks in the"
        " file that declares it."
    )


class Loader(BaseLoader):
    """Lets a task be called directly, and refuses ``delay`` and ``apply_async``."""

    def read_configuration(self, *args: Any) -> dict[str, Any]:
        # A project may have a Celery app of its own, under another name than Celery's default one.
        return {"task_routes": [refuse]} if self.app.main == "default" else {}
