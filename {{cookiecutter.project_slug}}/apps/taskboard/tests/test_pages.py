"""People with a login work on the board; every write is a POST with a token."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern

from apps.accounts.models import User
from apps.taskboard.models import Project, Task
from apps.taskboard.urls import urlpatterns

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, grace: User) -> Client:
    """A browser in which grace is logged in."""
    client.force_login(grace)
    return client


def act(page: Client, task: Task, action: str, **data: Any) -> Any:
    return page.post(task.get_absolute_url(), {"action": action, **data}, follow=True)


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: pattern.name)
def test_every_page_asks_for_a_login(client: Client, task: Task, pattern: URLPattern) -> None:
    path = str(pattern.pattern).replace("<board_file:name>", "notes.txt")
    path = path.replace("<board_slug:project>", task.project.slug)
    path = path.replace("<board_slug:task>", task.slug)
    for answer in (client.get(f"/taskboard/{path}"), client.post(f"/taskboard/{path}")):
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/accounts/login/?next=/taskboard/")


def test_people_add_a_project_and_a_task(page: Client, grace: User) -> None:
    answer = page.post("/taskboard/", {"name": "Größe"}, follow=True)
    assert "<h1>Größe</h1>" in answer.text
    create = f"{Project.objects.get().get_absolute_url()}create/"
    assert "New task" in page.get(create).text
    file = SimpleUploadedFile("notes.html", b"<b>")
    data = {"title": "大小", "priority": 3, "due_on": "2026-01-02", "attachment": file}
    assert "<h1>大小</h1>" in page.post(create, data, follow=True).text
    task = Task.objects.get()
    assert (task.creator, task.slug) == (grace, "大小")
    sent = page.get(task.attachment.url)
    assert sent.headers["Content-Security-Policy"] == "default-src 'none'; sandbox allow-downloads"
    assert b"".join(sent) == b"<b>"


def test_pre_delete_is_explained_on_the_page(page: Client, task: Task) -> None:
    act(page, task, "start")
    answer = act(page, task, "delete")
    assert answer.status_code == 200
    assert "“Write the program” is in progress and cannot be deleted." in answer.text
    act(page, task, "complete")
    assert "“Write the program” was deleted." in act(page, task, "delete").text
    assert page.get(task.get_absolute_url()).status_code == 404
