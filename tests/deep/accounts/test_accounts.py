"""Sign-up, login and passwords."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.forms import ModelForm
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils.html import escape
from django.utils.translation import gettext
from pytest_django import DjangoAssertNumQueries

from apps.accounts.backends import FAILURES, FAILURES_AT_ALL
from apps.accounts.models import User
from apps.accounts.views import RESET_MAILS, RESETS, SIGN_UPS, TOO_MANY, SignUpView
from apps.core.dispatch import mute
from apps.core.limits import client_address, count

from ..test_accounts import wait_for_mails

pytestmark = pytest.mark.django_db

PASSWORD = "a long pass phrase"
NAMES = {"username": "ada.lovelace", "email": "ada@example.com"}
FORM = NAMES | {"password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


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
    """With most packages for accounts there are several, and the first may not know the user."""
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.RemoteUserBackend",
        "django.contrib.auth.backends.AllowAllUsersModelBackend",
    ]
    data = {"username": "ada", "email": "", "password1": PASSWORD, "password2": PASSWORD}
    assert "Log out ada" in client.post("/accounts/signup/", data, follow=True).text
    assert client.session["_auth_user_backend"].endswith("AllowAllUsersModelBackend")


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_a_forgotten_password_is_reset_by_mail(client: Client) -> None:
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    answer = client.post("/accounts/password_reset/", {"email": "ada@example.com"}, follow=True)
    wait_for_mails()
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


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_the_mail_that_resets_a_password_is_plain_text(client: Client) -> None:
    User.objects.create_user("o'brien", "obrien@example.com", PASSWORD)
    mail.outbox.clear()
    client.post("/accounts/password_reset/", {"email": "obrien@example.com"})
    wait_for_mails()
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


@pytest.mark.parametrize("taken", [("grace", ""), ("GRACE", ""), ("else", "Grace@example.com")])
def test_of_two_sign_ups_at_once_with_one_name_one_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch, taken: tuple[str, str]
) -> None:
    """The other sign-up commits after the check of this form."""
    form_valid = SignUpView.form_valid

    def be_quicker(self: SignUpView, form: ModelForm) -> HttpResponse:
        User.objects.create_user(*taken)
        return form_valid(self, form)

    monkeypatch.setattr(SignUpView, "form_valid", be_quicker)
    data = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD}
    answer = client.post("/accounts/signup/", data | {"email": "grace@example.com"})
    assert answer.status_code == 200
    ((error,),) = answer.context["form"].errors.as_data().values()
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


def test_an_inactive_user_is_signed_up_and_not_logged_in(client: Client) -> None:
    """For example, a receiver waits until a person approves the user."""

    def wait(instance: User, **kwargs: Any) -> None:
        instance.is_active = False

    data = {"username": "ada", "email": "", "password1": PASSWORD, "password2": PASSWORD}
    pre_save.connect(wait, sender=User)
    try:
        assert client.post("/accounts/signup/", data).status_code == 302
    finally:
        pre_save.disconnect(wait, sender=User)
    assert User.objects.get().is_active is False
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_an_answer_does_not_wait_for_the_mail_server(
    client: Client, monkeypatch: pytest.MonkeyPatch, ada: User
) -> None:
    """The next one does not wait either, because its time would tell which addresses exist."""
    answered, sent = threading.Event(), []

    def send(backend: EmailBackend, messages: list[Any]) -> int:
        sent.append(answered.wait(60))
        return 1

    monkeypatch.setattr(EmailBackend, "send_messages", send)
    answer = client.post("/accounts/password_reset/", {"email": "ADA@example.com"}, follow=True)
    assert "a mail is on its way" in answer.text
    answered.set()
    wait_for_mails()
    assert sent == [True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_a_reset_works_without_a_mail_server(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any) -> int:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    answer = client.post("/accounts/password_reset/", {"email": "ada@example.com"})
    assert answer.status_code == 302
    wait_for_mails()
    assert "Failed to send password reset email" in caplog.text


def test_only_jobs_send_mail() -> None:
    ways = "EmailMessage|EmailMultiAlternatives|send_mail|send_mass_mail|PasswordResetForm"
    sends = re.compile(rf"\b({ways})\(")
    apps = Path(__file__).resolve().parents[3]
    found = {
        path.name
        for path in apps.rglob("*.py")
        if "tests" not in path.parts and sends.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"tasks.py"}


def test_all_spellings_of_a_name_share_one_limit() -> None:
    User.objects.create_user("ada", password=PASSWORD)
    request = RequestFactory().get("/")
    for number in range(FAILURES):
        authenticate(request, username="ADA" if number % 2 else "\uff41da", password="guess")
    assert authenticate(request, username="ada", password=PASSWORD) is None
    asynchronous = async_to_sync(aauthenticate)
    assert asynchronous(request, username="ada", password=PASSWORD) is None
    assert authenticate(username="ada", password=PASSWORD) is not None


@pytest.mark.parametrize("many", ["names", "addresses"])
def test_guesses_from_many_addresses_or_for_many_names_have_a_limit(many: str) -> None:
    User.objects.create_user("ada", password=PASSWORD)
    factory = RequestFactory()
    for number in range(FAILURES_AT_ALL):
        address = "10.1.1.1" if many == "names" else f"10.0.0.{number}"
        name = f"user{number}" if many == "names" else "ada"
        authenticate(factory.get("/", REMOTE_ADDR=address), username=name, password="guess")
    request = factory.get("/", REMOTE_ADDR="10.1.1.1")
    assert authenticate(request, username="ada", password=PASSWORD) is None


def test_a_failed_login_cannot_forge_a_line_of_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    authenticate(username="a\nb" + 200 * "c", password="guess")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("A login as 'a\\nbccc")
    assert "\n" not in record.getMessage()
    assert "guess" not in record.getMessage()


@pytest.mark.parametrize(
    ("trusted", "direct", "forwarded", "found"),
    [
        (False, "10.0.0.1", "6.6.6.6", "10.0.0.1"),
        (True, "10.0.0.1", "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        (True, "10.0.0.1", "192.0.2.7", "192.0.2.7"),
        (True, "10.0.0.1", "<garbage>\n", "<garbage>"),
        (True, "10.0.0.1", None, "10.0.0.1"),
        (False, "", None, ""),
        (False, "2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        (False, "::ffff:192.0.2.7", None, "192.0.2.7"),
    ],
)
def test_the_address_of_the_client_is_found(
    settings: Any, trusted: bool, direct: str, forwarded: str | None, found: str
) -> None:
    settings.BEHIND_PROXY = trusted
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=direct)
    assert client_address(request) == found


def test_each_subject_has_a_count_that_expires() -> None:
    assert [count("a"), count("a"), count("b"), count("a", by=-1)] == [1, 2, 1, 1]
    assert [count("over", seconds=0) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("ADA", "else@example.com"),
        ("\uff41\uff44\uff41", "else@example.com"),
        ("\u0430da", "else@example.com"),
        ("else", "ADA@Example.com"),
        ("else", '"ada"@example.com'),
        ("else", "ada@\uff45xample.com"),
        ("else", "ada@exam\u00adple.com"),
        ("else", "ad\u0131@example.com"),
    ],
)
def test_names_and_addresses_that_look_alike_are_one_account(
    client: Client, ada: User, name: str, email: str
) -> None:
    answer = client.post("/accounts/signup/", FORM | {"username": name, "email": email})
    assert len(answer.context["form"].errors) == 1
    assert User.objects.count() == 1


@pytest.mark.parametrize("other", [("ADA", ""), ("else", "ADA@example.com")])
def test_the_database_refuses_a_second_account(ada: User, other: tuple[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(*other)
    User.objects.bulk_create([User(username="without"), User(username="address")])


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_guesses_of_a_password_have_a_limit(
    client: Client, ada: User, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    for number in range(FAILURES):
        client.post(path, {"username": "ada", "password": f"guess {number}"})
    assert caplog.text.count("A login as 'ada' from '127.0.0.1' has failed.") == FAILURES
    right = {"username": "ada", "password": PASSWORD}
    client.post(path, right)
    assert "_auth_user_id" not in client.session
    elsewhere = Client(REMOTE_ADDR="10.0.0.1")
    elsewhere.post("/accounts/login/", right)
    assert "_auth_user_id" in elsewhere.session


def test_sign_ups_from_one_address_have_a_limit(client: Client) -> None:
    answers = [client.post("/accounts/signup/", {}) for _ in range(SIGN_UPS + 1)]
    assert [answer.status_code for answer in answers[-2:]] == [200, 429]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
@pytest.mark.parametrize(("address", "mails"), [("ADA@example.com", RESET_MAILS), ("x@y.com", 0)])
def test_mails_to_a_box_have_a_limit_and_answers_do_not_tell_who_exists(
    client: Client, ada: User, address: str, mails: int
) -> None:
    mail.outbox.clear()
    data = {"email": address}
    pages = [client.post("/accounts/password_reset/", data) for _ in range(RESET_MAILS + 1)]
    assert [page.status_code for page in pages] == [302] * RESET_MAILS + [200]
    assert TOO_MANY in pages[-1].text
    wait_for_mails()
    assert len(mail.outbox) == mails


def test_resets_from_one_address_have_a_limit(client: Client) -> None:
    boxes = [{"email": f"{number}@example.com"} for number in range(RESETS + 1)]
    pages = [client.post("/accounts/password_reset/", box) for box in boxes]
    wait_for_mails()
    assert [page.status_code for page in pages] == [302] * RESETS + [200]
