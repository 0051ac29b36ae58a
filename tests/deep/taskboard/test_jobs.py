"""Jobs are handed off to whatever backend the project uses, and can run more than once."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import threading
from smtplib import SMTPException
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection, transaction

from apps.accounts.models import User
from apps.core.actor import acting_as
from apps.taskboard.models import Notification, Task
from apps.taskboard.receivers import RECEIVED, SET_OFF
from apps.taskboard.tasks import mail_notification

from ..helpers import Commit, confirm_addresses
from ..test_jobs import notification

pytestmark = pytest.mark.django_db


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
