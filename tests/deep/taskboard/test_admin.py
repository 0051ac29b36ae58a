"""The admin explains what cannot be deleted, logs only what happened, and uses the services."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import SUCCESS
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.models import Notification, Project, Task
from apps.taskboard.signals import task_assigned

from ..helpers import Commit, received, told

pytestmark = pytest.mark.django_db


LIST = "/admin/taskboard/task/"


def act(admin_client: Client, action: str, *tasks: Task, **more: str) -> Any:
    data = {"action": action, "_selected_action": [task.pk for task in tasks], **more}
    return admin_client.post(LIST, data, follow=True)


@pytest.fixture
def started(task: Task) -> Task:
    services.start(task)
    return task


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


def test_pre_delete_is_explained_on_the_page_of_one_task(
    admin_client: Client, started: Task
) -> None:
    page = f"{LIST}{started.pk}/delete/"
    for answer in (admin_client.get(page), admin_client.post(page, {"post": "yes"})):
        assert answer.status_code == 200
        assert "“Write the program” is in progress and cannot be deleted." in answer.text
    assert Task.objects.exists()
    assert not LogEntry.objects.exists()


def test_tasks_that_nobody_works_on_are_deleted_and_logged(
    admin_client: Client, task: Task, project: Project
) -> None:
    other = Task.objects.create(project=project, title="Other")
    assert 'name="post" value="yes"' in act(admin_client, "delete_selected", other).text
    assert Task.objects.count() == 2
    (message,) = act(admin_client, "delete_selected", other, post="yes").context["messages"]
    assert message.level == SUCCESS
    admin_client.post(f"{LIST}{task.pk}/delete/", {"post": "yes"})
    assert not Task.objects.exists()
    assert LogEntry.objects.count() == 2


def test_a_deletion_that_fails_leaves_no_log_entry(
    admin_client: Client, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("apps.taskboard.admin.TaskAdmin.delete_queryset", fail)
    with pytest.raises(RuntimeError):
        act(admin_client, "delete_selected", task, post="yes")
    assert not LogEntry.objects.exists()


def test_tasks_about_to_be_deleted_stay_locked(admin_client: Client, task: Task) -> None:
    """None can be started between the look at it and its deletion."""
    with CaptureQueriesContext(connection) as queries:
        admin_client.post(f"{LIST}{task.pk}/delete/", {"post": "yes"})
    assert not Task.objects.exists()
    # SQLite locks no rows: it lets one transaction write at a time.
    lock = "FOR UPDATE" if connection.features.has_select_for_update else 'FROM "taskboard_task"'
    statements = [query["sql"] for query in queries]
    locked = next(n for n, sql in enumerate(statements) if lock in sql)
    logged = next(n for n, sql in enumerate(statements) if "django_admin_log" in sql)
    assert locked < logged


def test_a_project_takes_its_tasks_in_progress_along(
    admin_client: Client, started: Task, project: Project
) -> None:
    admin_client.post(f"/admin/taskboard/project/{project.pk}/delete/", {"post": "yes"})
    assert not Task.objects.exists()
    assert LogEntry.objects.filter(content_type__model="project").count() == 1


def test_the_status_cannot_be_changed_past_the_services(admin_client: Client, task: Task) -> None:
    data = {"title": "A", "project": task.project_id, "priority": 2, "status": "done"}
    assert admin_client.post(f"{LIST}{task.pk}/change/", data).status_code == 302
    assert Task.objects.get().status == "open"


def test_notifications_are_there_to_read(admin_client: Client, ada: User) -> None:
    notification = Notification.objects.create(user=ada, text="Read this.")
    page = "/admin/taskboard/notification/"
    assert "Read this." in admin_client.get(page).text
    assert admin_client.get(f"{page}add/").status_code == 403
    assert admin_client.post(f"{page}{notification.pk}/change/", {}).status_code == 403


def test_the_form_tells_assignees_once(
    admin_client: Client, project: Project, grace: User, commit: Commit
) -> None:
    people = {"creator": grace.pk, "assignees": [grace.pk]}
    data = {"title": "New", "project": project.pk, "priority": 2, **people}
    with received(task_assigned) as events, commit():
        assert admin_client.post(f"{LIST}add/", data).status_code == 302
    task = Task.objects.get()
    with received(task_assigned) as again, commit():
        assert admin_client.post(f"{LIST}{task.pk}/change/", data).status_code == 302
    assert ([entry["event"].user_id for entry in events], again) == ([grace.pk], [])
    assert told() == [
        ("grace", "admin assigned “New” to you."),
        ("grace", "admin edited “New”."),
    ]
    assert Task.objects.get().creator == grace
