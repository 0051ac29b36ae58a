from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from apps.accounts.models import User
from apps.core.dispatch import mute
from apps.taskboard.models import Project, Task
from apps.taskboard.receivers import announce_assignees

TASKS = {
    "Choose a signal": Task.Status.DONE,
    "Write the receiver": Task.Status.IN_PROGRESS,
    "Write its test": Task.Status.OPEN,
}


class Command(BaseCommand):
    help = "Add an example project with tasks for all active users, without notifications."

    def handle(self, *args: Any, **options: Any) -> None:
        people = list(User.objects.filter(is_active=True))
        # Muted, because people do not want mail about an example.
        with transaction.atomic(), mute(announce_assignees):
            project = Project.objects.create(name="Example")
            for title, status in TASKS.items():
                task = Task.objects.create(project=project, title=title, status=status)
                task.assignees.set(people)
        self.stdout.write(f"Added the project {project}: {project.get_absolute_url()}")
