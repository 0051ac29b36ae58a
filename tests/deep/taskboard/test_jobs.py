"""Jobs are handed off to whatever backend the project uses, and can run more than once."""

import threading
from datetime import date
from pathlib import Path
from smtplib import SMTPException
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection, transaction

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.taskboard.models import Notification, Task
from apps.taskboard.receivers import RECEIVED, SET_OFF
from apps.taskboard.tasks import announce_overdue, discard_file, mail_notification

from ..helpers import Commit, confirm_addresses

pytestmark = pytest.mark.django_db


@pytest.fixture
def notification(grace: User, task: Task) -> Notification:
    confirm_addresses()
    return Notification.objects.create(user=grace, task=task, text="Read\nthis.")


@pytest.mark.django_db(transaction=True)
def test_handing_off_in_a_transaction_that_is_rolled_back_runs_nothing(
    grace: User, mailoutbox: list[Any]
) -> None:
    confirm_addresses()
    with transaction.atomic():
        Notification.objects.create(user=grace, text="Read this.")
        transaction.set_rollback(True)
    assert mailoutbox == []


@pytest.mark.django_db(transaction=True)
def test_handing_off_a_row_created_and_deleted_in_one_transaction_does_no_harm(
    grace: User, mailoutbox: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    confirm_addresses()
    with transaction.atomic():
        Notification.objects.create(user=grace, text="Read this.").delete()
    assert mailoutbox == []
    assert "ERROR" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_of_two_jobs_at_once_one_mails(grace: User, mailoutbox: list[Any]) -> None:
    pk = Notification.objects.create(user=grace, text="Read this.").pk
    confirm_addresses()
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        try:
            mail_notification.call(pk, using="default")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mailoutbox) == 1


@pytest.mark.parametrize(
    ("email", "confirmed"),
    [("", ""), ("grace@example.com", ""), ("grace@example.com", "else@example.com")],
)
def test_a_person_without_a_confirmed_address_gets_no_mail(
    notification: Notification, mailoutbox: list[Any], email: str, confirmed: str
) -> None:
    people = User.objects.filter(pk=notification.user_id)
    people.update(email=email, confirmed_email=confirmed)
    mail_notification.call(notification.pk, using="default")
    assert mailoutbox == []
    assert Notification.objects.get().mailed_at is None


@pytest.mark.parametrize("error", [ConnectionRefusedError, SMTPException])
def test_a_mail_that_fails_can_be_sent_again(
    notification: Notification,
    mailoutbox: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    def refuse(*args: Any) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", refuse)
        with pytest.raises(error):
            mail_notification.call(notification.pk, using="default")
    mail_notification.call(notification.pk, using="default")
    assert len(mailoutbox) == 1


def test_a_person_gets_so_many_mails_and_reads_the_rest_on_the_board(
    grace: User, mailoutbox: list[Any], commit: Commit
) -> None:
    confirm_addresses()
    with commit():
        for number in range(RECEIVED + 2):
            Notification.objects.create(user=grace, text=f"News {number}")
    assert len(mailoutbox) == RECEIVED
    assert Notification.objects.count() == RECEIVED + 2


def test_an_account_sets_off_so_many_mails(
    ada: User, task: Task, mailoutbox: list[Any], commit: Commit
) -> None:
    people = [User.objects.create_user(f"u{number}") for number in range(SET_OFF + 2)]
    confirm_addresses()
    with acting_as(ada), commit():
        for person in people:
            task.assignees.add(person)
    assert len(mailoutbox) == SET_OFF
    assert Notification.objects.count() == len(people)


def test_a_job_that_runs_twice_mails_once(
    notification: Notification, mailoutbox: list[Any]
) -> None:
    for _ in range(2):
        mail_notification.call(notification.pk, using="default")
    (mail,) = mailoutbox
    assert (mail.subject, mail.body) == ("Read this.", "Read\nthis.")


def test_a_file_is_discarded_unless_a_task_has_it(task: Task, files: Path) -> None:
    name = default_storage.save("tasks/notes.txt", ContentFile("notes"))
    Task.objects.update(attachment=name)
    discard_file.call(name, using="default")
    assert default_storage.exists(name)
    Task.objects.update(attachment="")
    for _ in range(2):
        discard_file.call(name, using="default")
    assert not default_storage.exists(name)


def test_the_periodic_job_announces_an_overdue_task_once(task: Task) -> None:
    Task.objects.update(due_on=date(2026, 1, 2))
    assert [announce_overdue.call(using="default") for _ in range(2)] == [1, 0]
