"""Each receiver of a built-in signal does what its docstring says, and avoids its classic mistake."""

import logging
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import DatabaseError, transaction
from django.db.models.deletion import Collector
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_init,
    pre_delete,
    pre_init,
)
from django.test import AsyncClient, Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.core.dispatch import connected as connected_with_the_kit
from apps.core.dispatch import mute
from apps.taskboard import receivers
from apps.taskboard.models import Notification, Project, Task, TaskInProgressError
from apps.taskboard.receivers import announce_assignees
from apps.taskboard.signals import task_assigned, task_unassigned

from ..helpers import at_once, confirm_addresses, connected, received, told
from ..test_receivers import SIGNALS, assignments, attach, names

pytestmark = pytest.mark.django_db


COMMITS = DjangoCaptureOnCommitCallbacks


def test_ready_connects_every_receiver_once() -> None:
    rows = [row for signal in SIGNALS for row in signal.receivers]
    kit = [how for _, each, *_ in rows if (how := connected_with_the_kit(each))]
    own = [how for how in kit if how.path.startswith(f"{receivers.__name__}.")]
    assert {how.path.rpartition(".")[2] for how in own} == {
        "announce_assignees",
        "discard_attachment",
        "discard_replaced_attachment",
        "log_deletion",
        "log_failed_request",
        "log_slow_request",
        "mail_new_notification",
        "mail_new_notifications",
        "note_start",
        "protect_task_in_progress",
        "remind",
        "tell_assignee",
        "tell_creator_of_completion",
        "tell_creator_of_edit",
        "tell_former_assignee",
    }
    assert all(how.function.__doc__ for how in own)
    # One function may listen to several models; log_deletion does.
    assert len(own) == len({how.path for how in own}) + 1


def test_ready_imported_under_two_names_connects_once() -> None:
    before = [len(signal.receivers) for signal in SIGNALS]
    assert all(before)
    spec = spec_from_file_location("apps.taskboard.again", receivers.__file__)
    assert spec
    assert spec.loader
    spec.loader.exec_module(module_from_spec(spec))
    assert [len(signal.receivers) for signal in SIGNALS] == before


def test_delete_signals_without_listeners_keep_other_models_fast() -> None:
    assert not pre_delete.has_listeners(Notification)
    assert not post_delete.has_listeners(Notification)
    assert Collector(using="default").can_fast_delete(Notification.objects.all())


def test_pre_save_discards_a_file_that_is_taken_off(
    task: Task, files: Path, django_capture_on_commit_callbacks: COMMITS
) -> None:
    attach(task)
    task.attachment = ""
    with django_capture_on_commit_callbacks(execute=True):
        task.save()
    assert names(files) == []


def test_pre_save_leaves_a_file_that_stays(
    task: Task, files: Path, django_capture_on_commit_callbacks: COMMITS
) -> None:
    attach(task)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        task.save()
        task.status = Task.Status.IN_PROGRESS
        task.save(update_fields=["status"])
    assert callbacks == []
    assert names(files) == ["notes.txt"]


@pytest.mark.django_db(transaction=True)
def test_pre_save_of_a_rolled_back_change_leaves_the_file(task: Task, files: Path) -> None:
    old = attach(task)
    with transaction.atomic():
        attach(task, name="other.txt")
        transaction.set_rollback(True)
    assert Task.objects.get().attachment.name == old
    assert "notes.txt" in names(files)


def test_post_save_updated_tells_nobody_of_their_own_edits_or_of_nobodys(
    task: Task, ada: User, grace: User
) -> None:
    with acting_as(ada):
        task.save()
    task.save()
    Task.objects.update(creator=None)
    with acting_as(grace):
        Task.objects.get().save()
    assert told() == []


def test_post_save_of_a_fixture_tells_nobody(task: Task, grace: User, tmp_path: Path) -> None:
    fixture = tmp_path / "tasks.json"
    task.assignees.add(grace)
    call_command("dumpdata", "taskboard.Project", "taskboard.Task", output=str(fixture))
    task.assignees.clear()
    Notification.objects.all().delete()
    with acting_as(grace), received(task_assigned) as events:
        call_command("loaddata", str(fixture), verbosity=0)
    assert list(task.assignees.all()) == [grace]
    assert (told(), events) == ([], [])


def test_pre_delete_lets_other_tasks_go(task: Task) -> None:
    task.delete()
    assert not Task.objects.exists()


def test_pre_delete_without_an_origin_protects(task: Task) -> None:
    task.status = Task.Status.IN_PROGRESS
    task.save()
    collector = Collector(using="default")
    collector.collect([task])
    with pytest.raises(TaskInProgressError), transaction.atomic():
        collector.delete()


def test_deleting_people_keeps_tasks(task: Task, ada: User) -> None:
    task.assignees.add(ada)
    ada.delete()
    task.refresh_from_db()
    assert (task.creator, task.assignees.count()) == (None, 0)


@pytest.mark.django_db(transaction=True)
def test_post_delete_of_a_rolled_back_deletion_leaves_the_file(task: Task, files: Path) -> None:
    attach(task)
    with transaction.atomic():
        task.delete()
        transaction.set_rollback(True)
    assert names(files) == ["notes.txt"]


def test_post_delete_spares_a_file_that_another_task_has(
    task: Task, files: Path, django_capture_on_commit_callbacks: COMMITS
) -> None:
    name = attach(task)
    copy = Task.objects.create(project=task.project, title="Copy", attachment=name)
    with django_capture_on_commit_callbacks(execute=True):
        task.delete()
    assert names(files) == ["notes.txt"]
    with django_capture_on_commit_callbacks(execute=True):
        copy.delete()
    assert names(files) == []


def test_post_delete_of_a_cascade_discards_the_files(
    task: Task, files: Path, django_capture_on_commit_callbacks: COMMITS
) -> None:
    attach(task)
    with django_capture_on_commit_callbacks(execute=True):
        task.project.delete()
    assert names(files) == []


def test_m2m_changed_sends_all_six_actions_from_both_sides(task: Task, ada: User) -> None:
    through = Task.assignees.through
    for reverse, change in ((False, task.assignees), (True, ada.tasks)):
        with received(m2m_changed, sender=through) as calls:
            change.add(ada if not reverse else task)  # type: ignore[arg-type]
            change.remove(ada if not reverse else task)  # type: ignore[arg-type]
            change.clear()
        assert [call["action"] for call in calls] == [
            *("pre_add", "post_add", "pre_remove", "post_remove", "pre_clear", "post_clear")
        ]
        assert {call["reverse"] for call in calls} == {reverse}


def test_m2m_changed_from_the_side_of_the_user_names_the_right_rows(
    project: Project, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    """With keys that differ, a task looked up by the key of a user would be the wrong one."""
    tasks = [Task.objects.create(project=project, title=f"T{n}", pk=1000 + n) for n in range(3)]
    with received(task_assigned) as events, django_capture_on_commit_callbacks(execute=True):
        grace.tasks.add(*tasks)
    assert assignments(events) == [(1000, grace.pk), (1001, grace.pk), (1002, grace.pk)]
    assert told() == [("grace", f"Somebody assigned “T{n}” to you.") for n in range(3)]


def test_m2m_changed_by_set_announces_the_difference(
    task: Task, ada: User, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    task.assignees.add(ada)
    with (
        received(task_assigned) as assigned,
        received(task_unassigned) as unassigned,
        django_capture_on_commit_callbacks(execute=True),
    ):
        task.assignees.set([grace])
    assert assignments(assigned) == [(task.pk, grace.pk)]
    assert assignments(unassigned) == [(task.pk, ada.pk)]


def test_m2m_changed_takes_out_whom_another_was_quicker_to_assign(
    task: Task, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    through = Task.assignees.through

    def be_quicker(sender: Any, action: str, pk_set: set[int], **kwargs: Any) -> None:
        if action == "pre_add":
            through._default_manager.get_or_create(task_id=task.pk, user_id=grace.pk)
            announce_assignees(
                sender, instance=task, action=action, reverse=False, pk_set=pk_set, using="default"
            )

    with (
        received(task_assigned) as events,
        connected(m2m_changed, be_quicker, through),
        django_capture_on_commit_callbacks(execute=True),
    ):
        task.assignees.add(grace)
    assert (events, task.assignees.count()) == ([], 1)


@pytest.mark.django_db(transaction=True)
def test_m2m_changed_and_rolled_back_tells_nobody(
    task: Task, grace: User, mailoutbox: list[Any]
) -> None:
    confirm_addresses()
    with received(task_assigned) as events, transaction.atomic():
        task.assignees.add(grace)
        transaction.set_rollback(True)
    assert (len(events), told(), mailoutbox) == (1, [], [])


def test_current_user_in_a_receiver_is_the_one_at_the_time_of_the_change(
    task: Task, ada: User, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    with received(task_assigned) as events, django_capture_on_commit_callbacks(execute=True):
        with acting_as(ada):
            task.assignees.add(grace)
        with acting_as(grace):
            pass
    assert [entry["event"].by_id for entry in events] == [ada.pk]


def test_factory_logs_the_deletions_of_several_models(
    task: Task,
    ada: User,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: COMMITS,
) -> None:
    project = task.project
    task_pk, project_pk = task.pk, project.pk
    with (
        caplog.at_level(logging.INFO, logger=receivers.__name__),
        django_capture_on_commit_callbacks(execute=True),
    ):
        with acting_as(ada):
            task.delete()
        project.delete()
        assert caplog.messages == []
    assert [line.partition(" was")[0] for line in caplog.messages] == [
        f"taskboard.Task {task_pk}",
        f"taskboard.Project {project_pk}",
    ]


def test_request_signals_log_a_slow_request_under_asgi(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receivers, "SLOW_REQUEST", 0.0)
    async_to_sync(AsyncClient().get)("/favicon.ico")
    assert "/favicon.ico took " in caplog.text


def test_request_signals_that_finish_nothing_log_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receivers, "SLOW_REQUEST", 0.0)
    request_started.send(sender=None, environ={"route": "/favicon.ico"})
    request_finished.send(sender=None)
    request_finished.send(sender=None)
    assert caplog.text.count("/favicon.ico took") == 1


def test_got_request_exception_survives_a_database_that_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr("apps.core.views.render", fail)
    monkeypatch.setattr(receivers, "current_actor", fail)
    client.raise_request_exception = False
    assert client.get("/").status_code == 500
    assert "GET / of user nobody has failed." in caplog.text


def test_pre_init_has_no_listeners_and_so_costs_nothing() -> None:
    for signal in (pre_init, post_init):
        assert not any(connected_with_the_kit(each) for _, each, *_ in signal.receivers)


@pytest.mark.django_db(transaction=True)
def test_mute_silences_no_other_thread(task: Task, grace: User) -> None:
    with received(task_assigned) as events, mute(announce_assignees):
        at_once(1, lambda: task.assignees.add(grace))
    assert assignments(events) == [(task.pk, grace.pk)]


def test_mute_silences_one_receiver_in_one_block(
    task: Task, ada: User, grace: User, django_capture_on_commit_callbacks: COMMITS
) -> None:
    with received(task_assigned) as events, django_capture_on_commit_callbacks(execute=True):
        with mute(announce_assignees):
            task.assignees.add(ada)
        task.assignees.add(grace)
    assert assignments(events) == [(task.pk, grace.pk)]


def test_pre_delete_lets_a_project_take_its_tasks_along(project: Project, task: Task) -> None:
    Task.objects.update(status=Task.Status.IN_PROGRESS)
    for delete in (Project.objects.all().delete, project.delete):
        with transaction.atomic():
            delete()
            assert not Task.objects.exists()
            transaction.set_rollback(True)


@pytest.mark.parametrize("gone", ["task", "person"])
def test_m2m_changed_leaves_out_what_is_deleted_meanwhile(
    task: Task, grace: User, gone: str
) -> None:
    """A race between the look at the page and the assignment; the database would refuse it."""
    rows: Any = Task.objects if gone == "task" else User.objects.filter(pk=grace.pk)
    rows.all().delete()
    with received(task_assigned) as events:
        task.assignees.add(grace)
        grace.tasks.add(task)
    assert (events, Task.assignees.through._default_manager.count()) == ([], 0)
