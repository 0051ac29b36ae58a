"""How to test signals: with what is really connected, and without patching it."""

import logging
from typing import Any
from unittest import mock

import pytest
from django.db import transaction
from django.db.models.signals import m2m_changed, post_save

from apps.accounts.models import User
from apps.core.dispatch import mute
from apps.taskboard import services
from apps.taskboard.models import Notification, Task
from apps.taskboard.receivers import announce_assignees
from apps.taskboard.signals import TaskCompleted, task_completed

from .helpers import Commit, confirm_addresses, received, told

pytestmark = pytest.mark.django_db


def test_that_a_signal_is_sent(task: Task, grace: User, commit: Commit) -> None:
    with received(task_completed) as events, commit():
        services.complete(task, by=grace)
    assert [call["event"] for call in events] == [TaskCompleted(task_id=task.pk, by_id=grace.pk)]


def test_that_a_receiver_is_called(task: Task, grace: User, commit: Commit) -> None:
    """Look at what the receiver does, not at whether some object was called."""
    with commit():
        services.assign(task, grace, by=None)
    assert told() == [("grace", "Somebody assigned “Write the program” to you.")]


def test_that_a_muted_receiver_is_not_called(task: Task, grace: User, commit: Commit) -> None:
    connected = list(m2m_changed.receivers)
    with mute(announce_assignees), commit():
        services.assign(task, grace, by=None)
    assert told() == []
    assert m2m_changed.receivers == connected, "nothing was disconnected, so no order changed"


def test_that_on_commit_callbacks_wait(
    task: Task, grace: User, mailoutbox: list[Any], commit: Commit
) -> None:
    """The test's own transaction is never committed: capture the callbacks, which run in the end."""
    confirm_addresses()
    with commit():
        services.complete(task, by=grace)
        assert mailoutbox == []
    assert [mail.body for mail in mailoutbox] == ["grace completed “Write the program”."]


@pytest.mark.django_db(transaction=True)
def test_that_a_rollback_drops_callbacks(task: Task, grace: User, mailoutbox: list[Any]) -> None:
    """Only a test with transaction=True commits and rolls back for real."""
    confirm_addresses()
    with transaction.atomic():
        services.complete(task, by=grace)
        transaction.set_rollback(True)
    assert (told(), mailoutbox) == ([], [])


def test_with_a_temporary_receiver_and_not_with_a_patch(
    task: Task, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    """The signal holds the function itself: a patch of its import path replaces nothing."""
    caplog.set_level(logging.ERROR)
    path = "apps.taskboard.receivers.mail_new_notification"
    with mock.patch(path) as patched, received(post_save, Notification) as calls:
        Notification.objects.create(user=ada, task=task, text="Read this.")
    patched.assert_not_called()
    assert [call["created"] for call in calls] == [True]
    with received(post_save, Notification) as later:
        pass
    assert later == []
    assert calls[0]["instance"].text == "Read this."
