"""Sign-up, login and passwords."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.db import IntegrityError
from django.db.models.signals import post_delete, post_save
from django.forms import ModelForm
from django.http import HttpResponse
from django.test import Client
from django.utils.html import escape
from django.utils.translation import gettext
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.accounts.views import SignUpView
from apps.core.dispatch import mute

pytestmark = pytest.mark.django_db

PASSWORD = "a long pass phrase"


class Member(User):
    """A proxy."""

    class Meta:
        proxy = True
        app_label = "accounts"


def test_signing_up_creates_a_user_and_logs_them_in(client: Client) -> None:
    answer = client.post(
        "/accounts/signup/",
        {
            "username": "ada",
            "email": "ada@example.com",
            "password1": PASSWORD,
            "password2": PASSWORD,
        },
        follow=True,
    )
    assert "Log out ada" in answer.text
    assert User.objects.get().email == "ada@example.com"


def test_signing_up_logs_in_where_there_are_several_backends(client: Client, settings: Any) -> None:
    """As beside most packages for accounts, of which the first one may know no user."""
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.RemoteUserBackend",
        "django.contrib.auth.backends.AllowAllUsersModelBackend",
    ]
    data = {"username": "ada", "email": "", "password1": PASSWORD, "password2": PASSWORD}
    assert "Log out ada" in client.post("/accounts/signup/", data, follow=True).text
    assert client.session["_auth_user_backend"].endswith("AllowAllUsersModelBackend")


def test_signing_up_with_a_weak_password_says_why(client: Client) -> None:
    data = {"username": "ada", "email": "", "password1": "12345", "password2": "12345"}
    answer = client.post("/accounts/signup/", data)
    errors = answer.context["form"].errors.as_data()["password2"]
    assert "password_too_short" in {error.code for error in errors}
    assert escape(errors[0].messages[0]) in answer.text
    assert not User.objects.exists()


def test_logging_in_and_out(client: Client) -> None:
    User.objects.create_user("ada", password=PASSWORD)
    data = {"username": "ada", "password": PASSWORD, "next": "/accounts/password_change/"}
    answer = client.post("/accounts/login/", data, follow=True)
    assert f"<h1>{gettext('Password change')}</h1>" in answer.text
    assert client.get("/accounts/logout/").status_code == 405
    assert "Log in" in client.post("/accounts/logout/", follow=True).text


def test_the_admin_asks_for_the_address_of_a_new_user(admin_client: Client) -> None:
    assert 'name="email"' in admin_client.get("/admin/accounts/user/add/").text


def test_a_forgotten_password_is_reset_by_mail(client: Client) -> None:
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    answer = client.post("/accounts/password_reset/", {"email": "ada@example.com"}, follow=True)
    assert "a mail is on its way" in answer.text
    link = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[-1].body))
    assert link is not None

    page = client.get(link[1], follow=True)
    where = page.redirect_chain[-1][0]
    data = {"new_password1": "another phrase", "new_password2": "another phrase"}
    assert "You can log in" in client.post(where, data, follow=True).text
    user.refresh_from_db()
    assert user.check_password("another phrase")
    assert "no longer valid" in Client().get(link[1], follow=True).text


def test_a_password_is_changed(client: Client) -> None:
    user = User.objects.create_user("ada", password=PASSWORD)
    client.force_login(user)
    for new in ("weak", "another phrase"):
        data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        client.post("/accounts/password_change/", data)
    user.refresh_from_db()
    assert user.check_password("another phrase")


@pytest.fixture
def failing_receiver() -> Iterator[None]:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no luck")

    for signal in (post_save, post_delete):
        signal.connect(fail, sender=User)
        signal.connect(fail, sender=Member)
    yield
    for signal in (post_save, post_delete):
        signal.disconnect(fail, sender=User)
        signal.disconnect(fail, sender=Member)


def sign_up(database: str) -> None:
    data = {"username": "ada", "email": "", "password1": PASSWORD, "password2": PASSWORD}
    Client().post("/accounts/signup/", data)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "write",
    [
        sign_up,
        lambda database: User.objects.db_manager(database).create_user("ada"),
        lambda database: User.objects.using(database).create(username="ada"),
        lambda database: User(username="ada").save(using=database),
        lambda database: async_to_sync(User(username="ada").asave)(using=database),
        lambda database: User.objects.using(database).get_or_create(username="ada"),
        lambda database: Member.objects.using(database).create(username="ada"),
    ],
)
def test_a_user_whose_receivers_fail_is_not_saved_either(
    failing_receiver: None, other_database: str, write: Callable[[str], Any]
) -> None:
    for database in ("default", other_database):
        with pytest.raises(RuntimeError, match="no luck"):
            write(database)
        assert not User.objects.using(database).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "write",
    [
        lambda: User.objects.get().delete(),
        lambda: User.objects.all().delete(),
        lambda: User(pk=User.objects.get().pk, username="grace").save(),
    ],
)
def test_a_user_whose_receivers_fail_is_not_changed_either(
    request: pytest.FixtureRequest, write: Callable[[], Any]
) -> None:
    User.objects.create_user("ada")
    request.getfixturevalue("failing_receiver")
    with pytest.raises(RuntimeError, match="no luck"):
        write()
    assert User.objects.get().username == "ada"


def test_inside_of_a_transaction_a_save_costs_nothing_more(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with mute(User), django_assert_num_queries(1):
        User.objects.create(username="ada")


def test_the_mail_that_resets_a_password_is_plain_text(client: Client) -> None:
    User.objects.create_user("o'brien", "obrien@example.com", PASSWORD)
    client.post("/accounts/password_reset/", {"email": "obrien@example.com"})
    assert str(mail.outbox[0].body).startswith("Hello o'brien,\n")


def test_logging_in_needs_the_token_of_the_form() -> None:
    User.objects.create_user("ada", password=PASSWORD)
    client = Client(enforce_csrf_checks=True)
    data = {"username": "ada", "password": PASSWORD}
    assert client.post("/accounts/login/", data).status_code == 403

    form = client.get("/accounts/login/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    assert token is not None
    answer = client.post("/accounts/login/", data | {"csrfmiddlewaretoken": token[1]})
    assert answer.status_code == 302


def test_of_two_sign_ups_of_one_name_at_once_one_is_told_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one commits after the form of this one was found right."""
    form_valid = SignUpView.form_valid

    def be_quicker(self: SignUpView, form: ModelForm) -> HttpResponse:
        User.objects.create_user("grace")
        return form_valid(self, form)

    monkeypatch.setattr(SignUpView, "form_valid", be_quicker)
    data = {"username": "grace", "email": "", "password1": PASSWORD, "password2": PASSWORD}
    answer = client.post("/accounts/signup/", data)
    assert answer.status_code == 200
    (error,) = answer.context["form"].errors.as_data()["username"]
    assert escape(error.messages[0]) in answer.text
    assert User.objects.count() == 1
    assert "_auth_user_id" not in client.session


def test_a_sign_up_that_fails_for_another_reason_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise IntegrityError("another table")

    monkeypatch.setattr(User, "save", fail)
    data = {"username": "grace", "email": "", "password1": PASSWORD, "password2": PASSWORD}
    with pytest.raises(IntegrityError, match="another table"):
        client.post("/accounts/signup/", data)
