"""The admin explains what cannot be deleted, logs only what happened, and uses the services."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Project, Task
from apps.taskboard.signals import task_assigned, task_completed

from .helpers import Commit, received, told

pytestmark = pytest.mark.django_db
LIST = "/admin/taskboard/task/"


def act(admin_client: Client, action: str, *tasks: Task, **more: str) -> Any:
    data = {"action": action, "_selected_action": [task.pk for task in tasks], **more}
    return admin_client.post(LIST, data, follow=True)


def test_pre_delete_is_explained_for_several_tasks(
    admin_client: Client, task: Task, project: Project
) -> None:
    services.start(task)
    other = Task.objects.create(project=project, title="Other")
    for more in ({}, {"post": "yes"}):
        answer = act(admin_client, "delete_selected", task, other, **more)
        assert answer.status_code == 200
        assert "“Write the program” is in progress and cannot be deleted." in answer.text
        assert "“Other” is in progress" not in answer.text
    assert Task.objects.count() == 2
    assert not LogEntry.objects.exists()


def test_the_form_makes_the_creator_and_tells_assignees_once(
    admin_client: Client, admin_user: User, project: Project, grace: User, commit: Commit
) -> None:
    data = {"title": "New", "project": project.pk, "priority": 2, "assignees": [grace.pk]}
    with received(task_assigned) as events, commit():
        assert admin_client.post(f"{LIST}add/", data).status_code == 302
    task = Task.objects.get()
    assert task.creator == admin_user
    Task.objects.update(creator=grace)
    with received(task_assigned) as again, commit():
        assert admin_client.post(f"{LIST}{task.pk}/change/", data).status_code == 302
    assert ([entry["event"].user_id for entry in events], again) == ([grace.pk], [])
    assert told() == [
        ("grace", "admin assigned “New” to you."),
        ("grace", "admin edited “New”."),
    ]
    assert Task.objects.get().creator == grace


def test_the_actions_use_the_services(admin_client: Client, task: Task, commit: Commit) -> None:
    assert "Tasks started: 1." in act(admin_client, "start_selected", task).text
    with received(task_completed) as events, commit():
        assert "Tasks completed: 1." in act(admin_client, "complete_selected", task).text
        assert "Tasks completed: 0." in act(admin_client, "complete_selected", task).text
    assert len(events) == 1
    assert told() == [("ada", "admin completed “Write the program”.")]
