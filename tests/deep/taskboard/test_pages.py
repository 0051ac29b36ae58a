"""People with a login work on the board; every write is a POST with a token."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.taskboard import services
from apps.taskboard.forms import TaskForm
from apps.taskboard.models import ATTACHMENT_SIZE, Notification, Project, Task
from apps.taskboard.views import FOUND

from ..helpers import Commit, told
from ..test_pages import act, page

pytestmark = pytest.mark.django_db


def test_looking_changes_nothing(page: Client, task: Task) -> None:
    url = task.get_absolute_url()
    assert page.get(url, {"action": "complete"}).status_code == 200
    assert page.get(url, {"action": "delete"}).status_code == 200
    assert Task.objects.get().status == "open"


def test_pages_have_no_inline_style_or_script(page: Client, task: Task) -> None:
    for path in ("/taskboard/", task.project.get_absolute_url(), task.get_absolute_url()):
        text = page.get(path).text
        assert "style=" not in text
        assert "<script" not in text
        assert "onclick" not in text


def test_the_navigation_leads_to_the_projects_and_the_news(
    page: Client, task: Task, grace: User, ada: User
) -> None:
    Notification.objects.create(user=grace, task=task, text="Read <this>.")
    Notification.objects.create(user=grace, text="The task of this one is gone.")
    Notification.objects.create(user=ada, text="For ada.")
    assert '<a href="/taskboard/">Tasks</a>' in page.get("/").text
    text = page.get("/taskboard/").text
    assert "0 of 1 task done" in text
    assert f'<a href="{task.get_absolute_url()}">Read &lt;this&gt;.</a>' in text
    assert "is gone" in text
    assert "For ada." not in text


def test_a_file_is_sent_as_a_download(page: Client, task: Task, files: Path) -> None:
    task.attachment.save("notes.html", ContentFile("<b>"))
    sent = page.get(task.attachment.url)
    assert sent.headers["Content-Type"] == "application/octet-stream"
    assert sent.headers["Content-Security-Policy"] == "default-src 'none'; sandbox allow-downloads"
    assert sent.headers["Content-Disposition"] == 'attachment; filename="notes.html"'
    assert b"".join(sent) == b"<b>"
    (files / "notes.html").unlink()
    assert page.get(task.attachment.url).status_code == 404
    assert page.get("/taskboard/attachments/other.txt").status_code == 404


def test_a_file_that_two_tasks_share_is_sent(page: Client, task: Task) -> None:
    task.attachment.save("notes.txt", ContentFile("notes"))
    task.pk, task._state.adding, task.slug = None, True, ""
    task.save()
    assert Task.objects.filter(attachment=task.attachment.name).count() == 2
    assert b"".join(page.get(task.attachment.url)) == b"notes"


@pytest.mark.parametrize(
    "path",
    ["attachments/%00", "projects/%00/", "projects/%00/create/", "projects/{project}/tasks/%00/"],
)
def test_nul_in_an_address_leads_nowhere(page: Client, task: Task, path: str) -> None:
    """PostgreSQL takes it in a text for an error."""
    answer = page.get(f"/taskboard/{path.format(project=task.project.slug)}")
    assert answer.status_code == 404


def test_a_form_with_a_mistake_is_shown_again(page: Client, task: Task) -> None:
    answer = page.post(f"{task.project.get_absolute_url()}create/", {"title": ""})
    assert gettext("This field is required.") in answer.text
    assert gettext("This field is required.") in page.post("/taskboard/", {"name": ""}).text
    assert (
        gettext("This field is required.")
        in page.post(f"{task.get_absolute_url()}edit/", {"title": ""}).text
    )
    assert Task.objects.count() == 1


def test_the_board_has_a_column_for_each_status(
    page: Client, task: Task, grace: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    board = task.project.get_absolute_url()
    page.get(board)
    for number in range(5):
        added = Task.objects.create(project=task.project, title=f"T{number}")
        added.assignees.add(grace)
    services.start(task)
    with django_assert_num_queries(5):  # session, person, project, tasks, assignees
        text = page.get(board).text
    open_, progress, done = text.split("<section")[1:]
    assert "T0" in open_
    assert "Write the program" in progress
    assert "card" not in done
    assert page.get("/taskboard/projects/nowhere/").status_code == 404


def test_people_edit_a_task(page: Client, task: Task) -> None:
    edit = f"{task.get_absolute_url()}edit/"
    assert 'value="Write the program"' in page.get(edit).text
    answer = page.post(edit, {"title": "Rewrite it", "priority": 1}, follow=True)
    assert "<h1>Rewrite it</h1>" in answer.text
    assert told() == [("ada", "grace edited “Rewrite it”.")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["assign", "unassign", "start", "complete", "reopen", "delete"])
def test_what_is_done_with_a_task_that_is_deleted_meanwhile(
    page: Client, task: Task, grace: User, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Between the look at the task and the lock on it; committed, so that all constraints hold."""
    holder: Any = Task if action == "delete" else services
    service = getattr(holder, action)

    def be_slower(task: Task, *args: Any, **named: Any) -> Any:
        Task.objects.all().delete()
        return service(task, *args, **named)

    monkeypatch.setattr(holder, action, be_slower)
    answer = page.post(task.get_absolute_url(), {"action": action, "person": grace.pk})
    assert answer.status_code == 302
    assert page.get(answer.headers["Location"]).status_code == (200 if action == "delete" else 404)
    assert (Task.objects.count(), told()) == (0, [])


@pytest.mark.django_db(transaction=True)
def test_a_person_who_is_deleted_meanwhile_is_not_assigned(
    page: Client, task: Task, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assign = services.assign

    def be_slower(task: Task, person: User, by: User | None) -> None:
        User.objects.get(pk=person.pk).delete()
        assign(task, person, by)

    monkeypatch.setattr(services, "assign", be_slower)
    data = {"action": "assign", "person": ada.pk}
    answer = page.post(task.get_absolute_url(), data, follow=True)
    assert answer.status_code == 200
    assert (task.assignees.count(), told()) == (0, [])


@pytest.mark.django_db(transaction=True)
def test_a_project_that_is_deleted_meanwhile_takes_no_task(
    page: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays locked from the look at it on, so the deletion waits for the new task."""
    save = TaskForm.save

    def look(form: TaskForm, *args: Any, **named: Any) -> Any:
        assert connection.in_atomic_block
        return save(form, *args, **named)

    monkeypatch.setattr(TaskForm, "save", look)
    create = f"{project.get_absolute_url()}create/"
    with CaptureQueriesContext(connection) as queries:
        assert page.post(create, {"title": "A", "priority": 1}).status_code == 302
    if connection.features.has_select_for_update:
        assert any("FOR NO KEY UPDATE" in query["sql"] for query in queries)
    project.delete()
    assert page.post(create, {"title": "A", "priority": 1}).status_code == 404


@pytest.mark.parametrize("field", ["attachment", "description", "title"])
def test_what_is_too_large_is_refused_by_the_page_and_the_admin(
    page: Client, admin_client: Client, task: Task, field: str
) -> None:
    large: dict[str, Any] = {
        "attachment": SimpleUploadedFile("a.bin", b"x" * (ATTACHMENT_SIZE + 1)),
        "description": "x" * 10_001,
        "title": "x" * 201,
    }
    data = {"title": "A", "priority": 1, "project": task.project_id, field: large[field]}
    for browser, path in (
        (page, f"{task.get_absolute_url()}edit/"),
        (admin_client, f"/admin/taskboard/task/{task.pk}/change/"),
    ):
        if field == "attachment":
            large[field].seek(0)
        answer = browser.post(path, data)
        assert answer.status_code == 200
        assert b'aria-invalid="true"' in answer.content
    task.refresh_from_db()
    assert (task.attachment.name, task.description, task.title) == ("", "", "Write the program")


def test_a_task_whose_file_is_gone_can_be_edited(page: Client, task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(attachment="tasks/gone.txt")
    answer = page.post(f"{task.get_absolute_url()}edit/", {"title": "Else", "priority": 1})
    assert answer.status_code == 302


def test_a_search_shows_the_first_few_who_can_log_in(page: Client, task: Task, grace: User) -> None:
    names = [f"user{number:02}" for number in range(FOUND + 5)]
    User.objects.bulk_create([User(username=name, is_active=name != "user00") for name in names])
    url = task.get_absolute_url()
    assert page.get(url).text.count("user") < 5
    found = [str(person) for person in page.get(url, {"name": "USER"}).context["people"]]
    assert found == names[1 : FOUND + 1]
    for nothing in ("", "\0", "x" * 151):
        assert list(page.get(url, {"name": nothing}).context["people"]) == []
    assert "No other person with that name." in page.get(url, {"name": "nobody"}).text


def test_every_write_needs_a_token(task: Task, grace: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(grace)
    for path in ("/taskboard/", task.get_absolute_url(), f"{task.get_absolute_url()}edit/"):
        assert strict.post(path, {"action": "complete"}).status_code == 403
        assert strict.put(path).status_code in (403, 405)
    assert Task.objects.get().status == "open"


def test_people_assign_and_take_off(page: Client, task: Task, ada: User, commit: Commit) -> None:
    with commit():
        url = task.get_absolute_url()
        assert "<span>ada</span>" not in page.get(url).text
        assert "<span>ada</span>" in page.get(url, {"name": "AD"}).text
        assert "<span>ada</span>" in act(page, task, "assign", person=ada.pk).text
        assert page.get(url, {"name": "AD"}).text.count("<span>ada</span>") == 1
        assert "<span>ada</span>" not in act(page, task, "unassign", person=ada.pk).text
    assert act(page, task, "assign", person="").status_code == 200
    assert [text for _, text in told()] == [
        "grace assigned “Write the program” to you.",
        "“Write the program” is no longer assigned to you.",
    ]


def test_people_start_complete_and_reopen(page: Client, task: Task) -> None:
    assert "In Progress" in act(page, task, "start").text
    assert "Nothing changed" in act(page, task, "start").text
    assert "completed" in act(page, task, "complete").text
    again = act(page, task, "complete").text
    assert "Nothing changed: “Write the program” is already done, or was deleted." in again
    assert "Complete task</button>" in act(page, task, "reopen").text
    assert act(page, task, "explode").status_code == 400
