"""One welcome for every new user: not before the commit, not twice, and none without a user."""

import io
import json
import math
import smtplib
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.signals import user_logged_in
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.template import TemplateSyntaxError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from pytest_django import DjangoCaptureOnCommitCallbacks

import config.settings
from apps.accounts.models import User
from apps.core.tests.deep.test_settings import PRODUCTION, run, setting
from apps.welcome_email.apps import WelcomeEmailConfig
from apps.welcome_email.models import CLAIM_EXPIRES_AFTER, OWED_FOR, Welcome
from apps.welcome_email.tasks import ClaimedError, message, send_welcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("jobs_in_process")]

# The fields of the sign-up page, filled in.
FORM = {
    "username": "grace",
    "email": "grace@example.com",
    "password1": "a long pass phrase",
    "password2": "a long pass phrase",
}


class Newcomer(User):
    """The user model under another name."""

    class Meta:
        proxy = True
        app_label = "accounts"


@pytest.fixture
def mail_server_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> int:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)


def sign_up(**fields: Any) -> User:
    return User.objects.create_user(**{"username": "ada", "email": "ada@example.com"} | fields)


def test_a_new_user_is_welcomed_after_the_commit(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        sign_up(first_name="Visit evil.example")
        assert mail.outbox == []
    assert [sent.to for sent in mail.outbox] == [["ada@example.com"]]
    assert mail.outbox[0].subject.startswith("Welcome to ")
    assert "Hello ada," in mail.outbox[0].body
    assert "evil" not in str(mail.outbox[0].message())
    assert Welcome.objects.get().sent_at is not None


def test_the_mail_has_a_text_and_an_html_part() -> None:
    sign_up(username="<Ada>")
    written = message(Welcome.objects.get())
    assert "Hello <Ada>," in written.body
    html, kind = written.alternatives[0]
    assert kind == "text/html"
    assert "Hello &lt;Ada&gt;," in str(html)


@pytest.mark.django_db(transaction=True)
def test_a_sign_up_that_is_rolled_back_sends_nothing() -> None:
    with transaction.atomic():
        sign_up()
        transaction.set_rollback(True)
    assert mail.outbox == []
    assert not Welcome.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_user_created_and_deleted_in_one_transaction_gets_no_mail() -> None:
    with transaction.atomic():
        sign_up().delete()
    assert mail.outbox == []


@pytest.mark.django_db(transaction=True)
def test_the_sign_up_page_sends_the_mail(client: Client) -> None:
    answer = client.post("/accounts/signup/", FORM)
    assert answer.status_code == 302
    assert [sent.to for sent in mail.outbox] == [["grace@example.com"]]


def test_a_user_of_another_database_is_welcomed_when_that_one_commits(
    other_database: str,
) -> None:
    with transaction.atomic(using=other_database):
        User.objects.using(other_database).create(username="ada", email="ada@example.com")
        assert mail.outbox == []
    assert len(mail.outbox) == 1
    assert Welcome.objects.using(other_database).get().sent_at is not None
    assert not Welcome.objects.exists()


def test_a_user_without_an_address_is_owed_nothing_yet() -> None:
    sign_up(email="").save()
    assert Welcome.objects.get().owed_since is None
    assert not Welcome.objects.owed().exists()
    send_welcome.call(Welcome.objects.get().pk, using="default")
    assert mail.outbox == []


def test_the_week_in_which_a_welcome_is_owed_begins_with_the_address() -> None:
    user = sign_up(email="")
    User.objects.update(date_joined=timezone.now() - OWED_FOR - timedelta(days=1))
    user.email = "ada@example.com"
    user.save()
    call_command("send_welcomes")
    assert [sent.to for sent in mail.outbox] == [["ada@example.com"]]


def test_an_address_that_changes_hands_nothing_off_again(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    user = sign_up(email="")
    for name in ("ada", "grace"):
        user.email = f"{name}@example.com"
        with django_capture_on_commit_callbacks() as jobs:
            user.save()
        assert len(jobs) == (1 if name == "ada" else 0)
    Welcome.objects.all().delete()
    user.save()
    assert not Welcome.objects.exists(), "a user from before the module is owed nothing"


def test_a_login_asks_for_no_welcome() -> None:
    user = sign_up()
    with CaptureQueriesContext(connection) as queries:
        user_logged_in.send(User, user=user, request=None)
    # The audit trail, if it is chosen, records the login.
    assert len([one for one in queries if "audit_entry" not in one["sql"]]) == 1


def test_a_user_from_a_fixture_is_owed_nothing(tmp_path: Path) -> None:
    fixture = tmp_path / "users.json"
    fields = {"username": "ada", "email": "ada@example.com", "password": "!"}
    rows = [{"model": "accounts.user", "pk": 7, "fields": fields}]
    fixture.write_text(json.dumps(rows), encoding="utf-8")
    call_command("loaddata", str(fixture), verbosity=0)
    assert not Welcome.objects.exists()


def test_saving_a_user_again_owes_no_second_welcome() -> None:
    sign_up().save()
    assert Welcome.objects.count() == 1


def test_the_job_run_twice_sends_one_mail() -> None:
    sign_up()
    for _ in range(2):
        send_welcome.call(Welcome.objects.get().pk, using="default")
    assert len(mail.outbox) == 1


def test_a_welcome_that_is_being_sent_is_left_alone_until_its_claim_expires() -> None:
    sign_up()
    welcome = Welcome.objects.get()
    assert Welcome.objects.claim(welcome.pk)
    # An error, so that a backend that tries jobs again comes back to it.
    with pytest.raises(ClaimedError):
        send_welcome.call(welcome.pk, using="default")
    assert mail.outbox == []

    Welcome.objects.update(claimed_at=timezone.now() - CLAIM_EXPIRES_AFTER - timedelta(seconds=1))
    send_welcome.call(welcome.pk, using="default")
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_jobs_at_once_one_gets_the_welcome() -> None:
    sign_up()
    Welcome.objects.update(sent_at=None, claimed_at=None)
    pk = Welcome.objects.get().pk
    start = threading.Barrier(4)
    won: list[bool] = []

    def claim() -> None:
        start.wait()
        try:
            won.append(Welcome.objects.claim(pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("mail_server_away")
def test_a_mail_server_that_is_away_does_not_disturb_the_sign_up(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/accounts/signup/", FORM)
    assert answer.status_code == 302
    assert "Check EMAIL_URL" in caplog.text
    welcome = Welcome.objects.due().get()
    assert welcome.attempts == 1
    assert welcome.last_error == "ConnectionRefusedError(111, 'Connection refused')"


def test_the_command_sends_what_is_due(capsys: pytest.CaptureFixture[str]) -> None:
    sign_up()
    sign_up(username="grace", email="grace@example.com")
    call_command("send_welcomes")
    assert "Sent 2 welcome mails." in capsys.readouterr().out
    assert len(mail.outbox) == 2
    call_command("send_welcomes")
    assert "Sent 0 welcome mails." in capsys.readouterr().out


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({"ada@example.com": (550, b"no such user")}),
        TemplateSyntaxError("no such user"),
        ValueError("no such user: \0 \udcff"),
    ],
)
def test_the_command_goes_on_after_a_failure_and_reports_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up()
    sign_up(username="grace", email="grace@example.com")
    send_messages = EmailBackend.send_messages

    def refuse_ada(backend: EmailBackend, messages: Any) -> int:
        if messages[0].to == ["ada@example.com"]:
            raise error
        return send_messages(backend, messages)

    with monkeypatch.context() as patched:
        patched.setattr(EmailBackend, "send_messages", refuse_ada)
        with pytest.raises(CommandError, match="1 of 2 welcome mails could not be sent"):
            call_command("send_welcomes")
    assert [sent.to for sent in mail.outbox] == [["grace@example.com"]]
    due = Welcome.objects.due().get()
    assert due.attempts == 1
    assert "no such user" in due.last_error
    stream = io.StringIO()
    call_command("send_welcomes", stdout=stream)
    assert "Sent 1 welcome mail." in stream.getvalue()


def test_an_address_that_no_mail_can_be_written_to_does_not_hold_up_the_others(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for username, email in (("ada", '"a\x01b"@example.com'), ("grace", "grace@example.com")):
        User.objects.create_user(username, email)
    backend = "django.core.mail.backends.smtp.EmailBackend"
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": {"host": "mail"}}}
    recipients: list[list[str]] = []

    class Connection:
        """A mail server that takes everything."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

        def sendmail(self, sender: str, to: list[str], message: bytes) -> None:
            recipients.append(to)

        def quit(self) -> None:
            pass

    monkeypatch.setattr(smtplib, "SMTP", Connection)
    with pytest.raises(CommandError, match="1 of 2 welcome mails could not be sent"):
        call_command("send_welcomes")
    assert recipients == [["grace@example.com"]]
    assert "Invalid address" in Welcome.objects.due().get().last_error


def test_the_command_leaves_alone_what_a_job_is_sending(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sign_up()
    sign_up(username="grace", email="grace@example.com")
    send_messages = EmailBackend.send_messages

    def meanwhile(backend: EmailBackend, messages: Any) -> int:
        Welcome.objects.update(claimed_at=timezone.now())
        return send_messages(backend, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", meanwhile)
    call_command("send_welcomes")
    assert "Sent 1 welcome mail." in capsys.readouterr().out
    assert len(mail.outbox) == 1


def test_a_welcome_that_could_not_be_sent_for_a_week_is_given_up() -> None:
    sign_up()
    Welcome.objects.update(owed_since=timezone.now() - OWED_FOR - timedelta(seconds=1))
    call_command("send_welcomes")
    send_welcome.call(Welcome.objects.get().pk, using="default")
    assert mail.outbox == []
    assert Welcome.objects.get().sent_at is None


def test_the_mail_is_written_in_the_language_of_the_sign_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with translation.override("de"):
        sign_up()
    languages = []

    def render(template: str, context: dict[str, Any]) -> str:
        languages.append(translation.get_language())
        return ""

    monkeypatch.setattr("apps.welcome_email.tasks.render_to_string", render)
    message(Welcome.objects.get())
    assert set(languages) == {"de"}


def test_a_line_break_in_the_project_name_adds_no_header(settings: Any) -> None:
    settings.PROJECT_NAME = "Shop\nBcc: everybody@example.com"
    sign_up()
    send_welcome.call(Welcome.objects.get().pk, using="default")
    assert mail.outbox[0].subject == "Welcome to Shop Bcc: everybody@example.com"


def test_a_proxy_of_the_user_model_is_owed_a_welcome() -> None:
    user = Newcomer.objects.create(username="ada", email="ada@example.com")
    assert Welcome.objects.get().user_id == user.pk


def test_users_who_are_created_in_bulk_cost_as_many_statements_for_any_number(
    settings: Any,
) -> None:
    """With every part of the project that listens: profiles, welcomes and their jobs."""
    settings.TASKS = config.settings.TASKS

    def cost(number: int) -> int:
        users = [
            User(username=f"{number} {n}", email=f"{n}@{number}.example") for n in range(number)
        ]
        with CaptureQueriesContext(connection) as queries:
            User.objects.bulk_create(users)
        return len(queries)

    # Of each table no more than the database takes parameters for, the most of which a user has.
    limit = connection.features.max_query_params
    parameters = 10_000 * len(User._meta.concrete_fields)
    batches = math.ceil(parameters / limit) if limit else 1
    assert cost(10_000) <= cost(10) * batches
    assert Welcome.objects.count() == 10_010
    for path in ("profiles.Profile", "handoff.Handoff"):
        if apps.is_installed(f"apps.{path.partition('.')[0]}"):
            assert apps.get_model(path)._base_manager.count() == 10_010


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"DEBUG": "1"}, "http://127.0.0.1:8000"),
        (PRODUCTION, "https://www.example.com"),
        (PRODUCTION | {"ALLOWED_HOSTS": "*,.example.com"}, "https://example.com"),
        (PRODUCTION | {"SITE_URL": "https://a.example:8443"}, "https://a.example:8443"),
    ],
)
def test_links_lead_to_the_site(given: dict[str, str], found: str) -> None:
    assert setting("s.SITE_URL", **given) == found


@pytest.mark.parametrize(
    "given",
    [
        {"ALLOWED_HOSTS": "*"},
        {"SITE_URL": "a.example"},
        {"SITE_URL": "https://a.example/"},
        {"SITE_URL": "https://*.a.example"},
        {"SITE_URL": "https://a.example,https://b.example"},
        {"SITE_URL": ","},
    ],
)
def test_links_that_lead_nowhere_are_refused(given: dict[str, str]) -> None:
    done = run("manage.py", "check", **PRODUCTION | given)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "SITE_URL=https://www.example.com" in done.stderr


def test_the_admin_shows_welcomes_and_changes_none(admin_client: Client) -> None:
    sign_up()
    page = "/admin/welcome_email/welcome/"
    assert "ada" in admin_client.get(page).text
    assert admin_client.get(f"{page}add/").status_code == 403
    change = f"{page}{Welcome.objects.get(user__username='ada').pk}/change/"
    assert admin_client.post(change, {"language": "de"}).status_code == 403


def test_a_user_is_forgotten() -> None:
    Welcome.objects.filter(user=sign_up()).update(
        last_error="ada@example.com refused", language="de"
    )
    welcome, config = Welcome.objects.get(), apps.get_app_config("welcome_email")
    assert isinstance(config, WelcomeEmailConfig)
    assert [config.forget(welcome.user_id, "default") for _ in range(2)] == [1, 0]
    welcome.refresh_from_db()
    assert (welcome.last_error, welcome.language) == ("", "")
