"""Sign-up, login and passwords."""

import re
import threading
from typing import Any

import pytest
from django.core import mail
from django.db.models.signals import post_save
from django.test import Client

from apps.accounts.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "a long pass phrase"
NAMES = {"username": "ada.lovelace", "email": "ada@example.com"}
FORM = NAMES | {"password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


def wait_for_mails() -> None:
    for thread in threading.enumerate():
        if thread.name == "password reset":
            thread.join()


def test_signing_up_creates_a_user_and_logs_them_in(client: Client) -> None:
    answer = client.post("/accounts/signup/", FORM, follow=True)
    assert "ada.lovelace</button>" in answer.text
    assert User.objects.get().email == "ada@example.com"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_a_forgotten_password_is_reset_by_mail(client: Client, ada: User) -> None:
    mail.outbox.clear()  # without mails of the sign-up
    client.post("/accounts/password_reset/", {"email": "ada@example.com"})
    wait_for_mails()
    link = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[0].body))
    assert link
    page = client.get(link[1], follow=True).redirect_chain[-1][0]
    data = {"new_password1": "another phrase", "new_password2": "another phrase"}
    client.post(page, data)
    client.post("/accounts/login/", {"username": "ada", "password": "another phrase"})
    assert "ada</button>" in client.get("/").text
    assert 'name="new_password1"' not in Client().get(link[1], follow=True).text
    assert User.objects.get().confirmed_email == "ada@example.com"


@pytest.mark.usefixtures("connections_as_before")
@pytest.mark.django_db(transaction=True)
def test_a_user_whose_receivers_fail_is_not_saved_either(client: Client) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no luck")

    post_save.connect(fail, sender=User, weak=False)
    with pytest.raises(RuntimeError, match="no luck"):
        client.post("/accounts/signup/", FORM)
    assert not User.objects.exists()
