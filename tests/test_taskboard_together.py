"""The taskboard with all other modules: they do their work on it although it names none of them."""

from tests.support.bakery import Bakery
from tests.support.project import BakedProject
from tests.support.template import TEMPLATE

SCRIPT = """
from apps.accounts.models import User
from apps.audit.models import Entry
from apps.core.actor import acting_as
from apps.taskboard import services
from apps.taskboard.models import Notification, Project, Task

ada, grace = (User.objects.create_user(name) for name in ("ada", "grace"))
with acting_as(ada):
    task = Task.objects.create(project=Project.objects.create(name="A"), title="B", creator=grace)
    services.assign(task, grace, by=ada)
    services.complete(task, by=ada)
    services.complete(task, by=ada)
entries = Entry.objects.filter(model_label="taskboard.Task").order_by("pk")
for entry in entries:
    print(entry.action, sorted(entry.changes) if entry.action == "update" else "", entry.actor_name)
for told in Notification.objects.order_by("pk"):
    print(told.user, told.text)
"""

KILLED = """
import os
from django.db import transaction
from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Project, Task

grace = User.objects.create_user("grace", "grace@example.com")
task = Task.objects.create(project=Project.objects.create(name="A"), title="B", creator=grace)
with transaction.atomic():
    transaction.on_commit(lambda: os._exit(9))  # before every other callback
    services.complete(task, by=None)
"""

AFTERWARDS = """
from apps.handoff.models import Handoff
from apps.taskboard.models import Notification, Task

print(Task.objects.get().status)
print(Notification.objects.get().text)
print(Handoff.objects.filter(name__endswith="mail_notification").count())
"""


def migrated(bakery: Bakery, database: str) -> tuple[BakedProject, dict[str, str]]:
    """Return a project with all modules, and variables that name a migrated database for it."""
    project = bakery.project(TEMPLATE.all_on())
    variables = {"DATABASE_URL": database, "CELERY_BROKER_URL": "memory://"}
    done = project.run("python", "manage.py", "migrate", "-v0", **variables)
    assert done.returncode == 0, done.stderr
    return project, variables


def test_nothing_is_lost_when_the_process_dies_after_the_commit(
    bakery: Bakery, empty_database: str
) -> None:
    project, variables = migrated(bakery, empty_database)
    killed = project.run("python", "manage.py", "shell", "-v0", "-c", KILLED, **variables)
    assert killed.returncode == 9, killed.stderr
    done = project.run("python", "manage.py", "shell", "-v0", "-c", AFTERWARDS, **variables)
    assert done.stdout.splitlines() == ["done", "Somebody completed “B”.", "1"], done.stderr


def test_its_changes_are_audited_because_the_settings_say_so(
    bakery: Bakery, empty_database: str
) -> None:
    project, variables = migrated(bakery, empty_database)
    done = project.run("python", "manage.py", "shell", "-v0", "-c", SCRIPT, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "create  ada",
        "update ['assignees'] ada",
        "update ['completed_at', 'status'] ada",
        "grace ada assigned “B” to you.",
        "grace ada completed “B”.",
    ]
