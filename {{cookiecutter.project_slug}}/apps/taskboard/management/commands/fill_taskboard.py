from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core.dispatch import mute
from apps.taskboard.models import Project, Task
from apps.taskboard.receivers import announce_assignees

TASKS = [
    ("Choose a signal", Task.Status.DONE, Task.Priority.NORMAL, None),
    ("Write the receiver", Task.Status.IN_PROGRESS, Task.Priority.HIGH, -1),
    ("Write its test", Task.Status.OPEN, Task.Priority.HIGH, 3),
    ("Größe messen, 大小", Task.Status.OPEN, Task.Priority.LOW, None),
]


class Command(BaseCommand):
    help = "Add an example project with tasks for all active users, without notifications."

    def handle(self, *args: Any, **options: Any) -> None:
        people = list(User.objects.filter(is_active=True))
        today = timezone.localdate()
        # Muted, because people do not want mail about an example.
        with transaction.atomic(), mute(announce_assignees):
            project = Project.objects.create(name="Example")
            for title, status, priority, days in TASKS:
                task = Task.objects.create(
                    project=project,
                    title=title,
                    status=status,
                    priority=priority,
                    due_on=None if days is None else today + timedelta(days=days),
                )
                task.assignees.set(people)
        self.stdout.write(
            self.style.SUCCESS(f"Added the project {project}: {project.get_absolute_url()}")
        )
