"""One welcome for every new user: not before the commit, not twice, and none without a user."""

import re
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from apps.accounts.models import User
from apps.welcome_email.confirmation import confirmation_link
from apps.welcome_email.models import Welcome
from apps.welcome_email.tasks import send_welcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("jobs_in_process")]

FORM = {
    "username": "grace",
    "email": "grace@example.com",
    "password1": "a long pass phrase",
    "password2": "a long pass phrase",
}


def sign_up(name: str = "ada", **fields: Any) -> User:
    return User.objects.create_user(name, fields.pop("email", f"{name}@example.com"), **fields)


@pytest.mark.django_db(transaction=True)
def test_the_sign_up_page_sends_the_mail_after_the_commit(client: Client) -> None:
    with transaction.atomic():
        client.post("/accounts/signup/", FORM | {"first_name": "Grace"})
        assert mail.outbox == []
    (sent,) = mail.outbox
    assert sent.to == ["grace@example.com"]
    link = re.search(r"https?://[^/]+(/welcome/\S+)", str(sent.body))
    assert link
    client.post(link[1])
    assert User.objects.get().confirmed_email == "grace@example.com"
    assert sent.subject.startswith("Welcome to ")
    assert Welcome.objects.get().sent_at is not None


@pytest.mark.django_db(transaction=True)
def test_users_who_are_created_in_bulk_get_one_each() -> None:
    addresses = [f"{number}@example.com" for number in range(3)]
    *_, late = User.objects.bulk_create(
        [User(username=address, email=address) for address in [*addresses, ""]]
    )
    late.email = "late@example.com"
    late.save()
    addresses.append(late.email)
    assert [sent.to for sent in mail.outbox] == [[address] for address in addresses]


@pytest.mark.django_db(transaction=True)
def test_a_user_without_address_is_welcomed_when_one_is_saved() -> None:
    ada = sign_up(email="")
    call_command("send_welcomes")
    assert mail.outbox == []
    ada.email = "ada@example.com"
    ada.save(update_fields=["last_name"])
    assert mail.outbox == []
    with transaction.atomic():
        ada.save(update_fields=["email"])
        assert mail.outbox == []
    ada.save()
    assert [sent.to for sent in mail.outbox] == [["ada@example.com"]]


def test_saving_again_and_running_again_send_nothing_more() -> None:
    sign_up().save()
    for _ in range(2):
        send_welcome.call(Welcome.objects.get().pk, using="default")
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_a_mail_server_that_is_away_does_not_disturb_the_sign_up(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> int:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    assert client.post("/accounts/signup/", FORM).status_code == 302
    assert "Check EMAIL_URL" in caplog.text
    welcome = Welcome.objects.due().get()
    assert (welcome.attempts, "refused" in welcome.last_error) == (1, True)


def test_a_link_confirms_the_address_that_it_was_sent_to(client: Client) -> None:
    page = re.sub("https?://[^/]+", "", confirmation_link(sign_up()))
    assert client.get(page).status_code == 200
    assert User.objects.get().confirmed_email == ""
    client.post(page)
    assert User.objects.get().confirmed_email == "ada@example.com"
    User.objects.update(email="else@example.com")
    assert "no longer valid" in client.post(page).text
    assert "no longer valid" in client.get("/welcome/else/").text


@pytest.mark.django_db(transaction=True)
def test_nobody_is_welcomed_for_nothing() -> None:
    with transaction.atomic():
        sign_up()
        transaction.set_rollback(True)
    with transaction.atomic():
        sign_up("gone").delete()
    assert mail.outbox == []
    assert not Welcome.objects.exists()
