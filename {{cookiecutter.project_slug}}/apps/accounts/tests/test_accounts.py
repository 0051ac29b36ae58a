"""Sign-up, login and passwords."""

import re
from typing import Any

import pytest
from django.core import mail
from django.db.models.signals import post_save
from django.test import Client

from apps.accounts.backends import FAILURES
from apps.accounts.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "a long pass phrase"
NAMES = {"username": "ada.lovelace", "email": "ada@example.com"}
FORM = NAMES | {"password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


def test_signing_up_creates_a_user_and_logs_them_in(client: Client) -> None:
    answer = client.post("/accounts/signup/", FORM, follow=True)
    assert "ada.lovelace</button>" in answer.text
    assert User.objects.get().email == "ada@example.com"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("xq7!", "password_too_short"),
        ("sunshine1", "password_too_common"),
        ("730194628155", "password_entirely_numeric"),
        ("ada.lovelace", "password_too_similar"),
    ],
)
def test_each_kind_of_weak_password_is_refused(client: Client, password: str, code: str) -> None:
    form = FORM | {"password1": password, "password2": password}
    errors = client.post("/accounts/signup/", form).context["form"].errors.as_data()
    assert [error.code for error in errors["password2"]] == [code]
    assert not User.objects.exists()


def test_logging_in_needs_the_token_of_the_form(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    data = {"username": "ada", "password": PASSWORD}
    assert client.post("/accounts/login/", data).status_code == 403
    form = client.get("/accounts/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert token
    client.post("/accounts/login/", data | {"csrfmiddlewaretoken": token[1]})
    assert "ada</button>" in client.get("/").text


def test_logging_out_needs_a_form_of_its_own(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/accounts/logout/").status_code == 405
    assert "ada</button>" not in client.post("/accounts/logout/", follow=True).text


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_a_forgotten_password_is_reset_by_mail(client: Client, ada: User) -> None:
    mail.outbox.clear()
    client.post("/accounts/password_reset/", {"email": "ada@example.com"})
    link = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[0].body))
    assert link
    page = client.get(link[1], follow=True).redirect_chain[-1][0]
    data = {"new_password1": "another phrase", "new_password2": "another phrase"}
    assert client.post(page, data, follow=True).status_code == 200
    assert client.login(username="ada", password="another phrase")
    assert 'name="new_password1"' not in Client().get(link[1], follow=True).text
    assert User.objects.get().confirmed_email == "ada@example.com"


def test_guessing_a_password_ends_soon(client: Client, ada: User) -> None:
    for number in range(FAILURES.times):
        client.post("/accounts/login/", {"username": "ada", "password": f"guess {number}"})
    right = {"username": "ada", "password": PASSWORD}
    client.post("/accounts/login/", right)
    assert "_auth_user_id" not in client.session
    client.post("/accounts/login/", right, REMOTE_ADDR="10.0.0.1")
    assert "_auth_user_id" in client.session


def test_a_password_is_changed(client: Client, ada: User) -> None:
    client.force_login(ada)
    for new in ("weak", "another phrase"):
        data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        client.post("/accounts/password_change/", data)
    assert client.login(username="ada", password="another phrase")


def test_the_admin_asks_for_the_address_of_a_new_user(admin_client: Client) -> None:
    assert 'name="email"' in admin_client.get("/admin/accounts/user/add/").text


@pytest.mark.usefixtures("connections_as_before")
@pytest.mark.django_db(transaction=True)
def test_a_user_whose_receivers_fail_is_not_saved_either(client: Client) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no luck")

    post_save.connect(fail, sender=User, weak=False)
    with pytest.raises(RuntimeError, match="no luck"):
        client.post("/accounts/signup/", FORM)
    assert not User.objects.exists()
