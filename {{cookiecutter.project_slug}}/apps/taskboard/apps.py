from typing import Any

from django.db import router

from apps.core import modules


class TaskboardConfig(modules.ModuleConfig):
    name = "apps.taskboard"
    verbose_name = "Taskboard"
    summary = "Projects and tasks: an example of every signal pattern."
    navigation = (("Tasks", "taskboard:index"),)

    def forget(self, user_pk: Any, using: str) -> int:
        """Delete the notifications of a user, and remove the user's name from those of others.

        The name is known as long as the user exists.
        """
        from .models import Notification

        if not router.allow_migrate_model(using, Notification):
            return 0
        return Notification.objects.using(using).forget(user_pk)

    def ready(self) -> None:
        from . import receivers  # noqa: F401
