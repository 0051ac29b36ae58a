"""The admin explains what cannot be deleted, logs only what happened, and uses the services."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from apps.taskboard import services
from apps.taskboard.models import Project, Task

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
