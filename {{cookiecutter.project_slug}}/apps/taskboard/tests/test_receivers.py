"""Each receiver of a built-in signal does what its docstring says, and avoids its classic mistake."""

import gc
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import django.dispatch
import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import transaction
from django.db.models import signals
from django.test import Client

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.core.dispatch import connected as connected_with_the_kit
from apps.core.dispatch import receiver
from apps.core.signals import bulk_created
from apps.taskboard import receivers
from apps.taskboard.models import Notification, Project, Task, TaskInProgressError
from apps.taskboard.receivers import log_deletions_of
from apps.taskboard.signals import (
    TaskAssigned,
    task_assigned,
    task_completed,
    task_overdue,
    task_unassigned,
)

from .helpers import Commit, at_once, confirm_addresses, connected, received, told

pytestmark = pytest.mark.django_db
SIGNALS = (
    *(signals.pre_save, signals.post_save, signals.pre_delete, signals.post_delete),
    *(signals.m2m_changed, bulk_created),
    *(request_started, request_finished, got_request_exception),
    *(task_assigned, task_unassigned, task_completed, task_overdue),
)


def attach(task: Task, name: str = "notes.txt", text: str = "notes") -> str:
    """Give a task a file and return the name under which it is stored."""
    task.attachment = ContentFile(text, name=name)
    task.save()
    return str(task.attachment.name)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_ready_connects_every_receiver_once() -> None:
    rows = [row for signal in SIGNALS for row in signal.receivers]
    kit = [how for _, each, *_ in rows if (how := connected_with_the_kit(each))]
    own = [how for how in kit if how.path.startswith(f"{receivers.__name__}.")]
    assert all(how.function.__doc__ for how in own)
    written = re.findall(r"^(?:async )?def (\w+)\(\s*sender", inspect.getsource(receivers), re.M)
    # The factory connects one function to two models.
    expected = Counter(written) + Counter(log_deletion=2)
    assert Counter(how.path.rpartition(".")[2] for how in own) == expected


def test_pre_save_discards_a_replaced_file_after_the_commit(
    task: Task, files: Path, commit: Commit
) -> None:
    attach(task)
    with commit():
        attach(task, text="better notes")
        assert len(names(files)) == 2, "a rollback would need the old file"
    assert len(names(files)) == 1
    with Task.objects.get().attachment.open() as file:
        assert file.read() == b"better notes"


def test_post_save_created_mails_a_notification_and_updated_does_not(
    ada: User, task: Task, mailoutbox: list[Any], commit: Commit
) -> None:
    confirm_addresses()
    with commit():
        notification = Notification.objects.create(user=ada, task=task, text="Read this.")
        assert mailoutbox == []
    with commit():
        notification.save()
    assert [mail.subject for mail in mailoutbox] == ["Read this."]


def test_post_save_updated_tells_the_creator_of_an_edit_by_another(
    task: Task, ada: User, grace: User
) -> None:
    with acting_as(grace):
        task.save()
        Task.objects.create(project=task.project, title="Created", creator=ada)
        task.title = "Rewrite it"
        task.save(update_fields=["title"])
        task.save(update_fields=["status"])
        Task.objects.update(title="Unheard of")
    assert told() == [
        ("ada", "grace edited “Write the program”."),
        ("ada", "grace edited “Rewrite it”."),
    ]


def test_pre_delete_protects_a_task_in_progress(task: Task) -> None:
    stale = Task.objects.get()
    task.status = Task.Status.IN_PROGRESS
    task.save()
    for delete in (task.delete, stale.delete, Task.objects.all().delete):
        with pytest.raises(TaskInProgressError) as caught, transaction.atomic():
            delete()
        assert str(caught.value) == (
            "“Write the program” is in progress and cannot be deleted. Complete it first."
        )
        assert caught.value.protected_objects == {task}
    assert Task.objects.count() == 1


def test_post_delete_discards_the_file_after_the_commit(
    task: Task, files: Path, commit: Commit
) -> None:
    attach(task)
    with commit():
        task.delete()
        assert names(files) == ["notes.txt"]
    assert names(files) == []


def assignments(events: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(entry["event"].task_id, entry["event"].user_id) for entry in events]


def test_m2m_changed_announces_each_new_assignee_once_from_both_sides(
    task: Task, ada: User, grace: User
) -> None:
    with received(task_assigned) as events:
        task.assignees.add(ada)
        grace.tasks.add(task)
        task.assignees.add(ada, grace)
        ada.tasks.set([task])
    assert assignments(events) == [(task.pk, ada.pk), (task.pk, grace.pk)]
    assert [user for user, _ in told()] == ["ada", "grace"]


def test_m2m_changed_announces_who_really_leaves(task: Task, ada: User, grace: User) -> None:
    task.assignees.set([ada, grace])
    left = []

    def count(sender: Any, **kwargs: Any) -> None:
        left.append(task.assignees.count())

    with received(task_unassigned) as events, connected(task_unassigned, count):
        task.assignees.remove(ada)
        task.assignees.remove(ada)
        ada.tasks.clear()
        grace.tasks.clear()
        task.assignees.clear()
    assert assignments(events) == [(task.pk, ada.pk), (task.pk, grace.pk)]
    assert left == [1, 0], "a person who is said to be gone is gone"


@pytest.mark.django_db(transaction=True)
def test_m2m_changed_by_several_at_once_announces_once(task: Task, grace: User) -> None:
    with received(task_assigned) as assigned, received(task_unassigned) as unassigned:
        at_once(4, lambda: Task.objects.get(pk=task.pk).assignees.add(grace.pk))
        at_once(4, lambda: User.objects.get(pk=grace.pk).tasks.clear())
    assert assignments(assigned) == assignments(unassigned) == [(task.pk, grace.pk)]


def test_current_user_in_a_receiver_is_who_is_logged_in(
    client: Client, task: Task, grace: User, commit: Commit
) -> None:
    client.force_login(grace)
    with received(task_assigned) as events, commit():
        client.post(task.get_absolute_url(), {"action": "assign", "person": grace.pk})
        task.assignees.add(User.objects.create_user("edsger"))
    assert [entry["event"].by_id for entry in events] == [grace.pk, None]


@pytest.mark.usefixtures("connections_as_before")
def test_on_commit_waits_for_the_database_of_the_change(other_database: str) -> None:
    user = User.objects.using(other_database).create(username="ada")
    project = Project.objects.using(other_database).create(name="Elsewhere")
    task = Task.objects.using(other_database).create(project=project, title="A")
    heard = []

    @receiver(task_assigned, after_commit=True)
    def hear(sender: Any, event: TaskAssigned, **kwargs: Any) -> None:
        heard.append(event.user_id)

    with transaction.atomic(using=other_database):
        task.assignees.add(user)
        assert heard == []
    assert heard == [user.pk]
    assert Notification.objects.using(other_database).get().user_id == user.pk
    assert not Notification.objects.exists()


@pytest.mark.usefixtures("connections_as_before")
def test_factory_makes_receivers_that_live_on(settings: Any) -> None:
    """Django's own decorator loses what a function makes, unless DEBUG happens to be on."""
    settings.DEBUG = False

    def weak_factory() -> None:
        @django.dispatch.receiver(signals.post_delete, sender=Notification)
        def forgotten(sender: Any, **kwargs: Any) -> None:
            raise AssertionError

    weak_factory()
    gc.collect()
    assert not signals.post_delete.has_listeners(Notification)

    log_deletions_of(Notification)
    gc.collect()
    assert signals.post_delete.has_listeners(Notification)


def test_request_signals_log_a_slow_request(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/accounts/reset/MQ/the-secret/")
    assert "took" not in caplog.text
    monkeypatch.setattr(receivers, "SLOW_REQUEST", 0.0)
    client.get("/accounts/reset/MQ/the-secret/")
    assert "/accounts/reset/<uidb64>/<token>/ took " in caplog.text
    assert "the-secret" not in caplog.text


def test_got_request_exception_logs_whose_request_failed(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("apps.taskboard.models.ProjectQuerySet.with_statistics", fail)
    client.raise_request_exception = False
    client.force_login(ada)
    with received(got_request_exception) as calls:
        assert client.get("/taskboard/").status_code == 500
    assert f"GET /taskboard/ of user {ada.pk} has failed." in caplog.text
    assert len(calls) == 1


def test_post_init_recurses_when_it_reads_deferred_fields(task: Task) -> None:
    def set_default(sender: Any, instance: Task, **kwargs: Any) -> None:
        # Each reading loads a field, which makes an instance, which sends the signal.
        instance.description = instance.description or instance.title

    with connected(signals.post_init, set_default, Task), pytest.raises(RecursionError):
        Task.objects.only("id").get()
    assert Task.objects.only("id").get().title == "Write the program"


def test_mute_fills_the_board_without_telling_anybody(
    ada: User, capsys: pytest.CaptureFixture[str], commit: Commit
) -> None:
    with commit():
        call_command("fill_taskboard")
    assert "/taskboard/projects/example/" in capsys.readouterr().out
    assert ada.tasks.count() == Task.objects.count() > 0
    assert told() == []
