"""The home page, the health check, probes, forms and mail."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.core.mail import EmailMultiAlternatives
from django.db import DatabaseError, connection
from django.test import AsyncClient, Client
from django.utils.html import escape

from apps.accounts.models import User
from apps.core.mail import ReadableConsoleBackend
from apps.core.modules import Health, module_configs

pytestmark = pytest.mark.django_db
APPS = Path(__file__).resolve().parents[2]


def test_the_home_page_shows_every_part_and_what_others_say_of_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"accounts": "<said of Accounts>"}
    monkeypatch.setattr(apps.get_app_config("core"), "details", lambda: said)
    text = client.get("/").text
    for config in module_configs():
        assert config.summary.endswith(".")
        assert escape(config.verbose_name) in text
        assert escape(config.summary) in text
    assert text.count("&lt;said of Accounts&gt;") == 1


def test_the_navigation_is_for_users(client: Client) -> None:
    assert 'href="/accounts/login/"' in client.get("/").text
    client.force_login(User.objects.create_user("ada"))
    text = client.get("/").text
    assert "ada</button>" in text
    assert all(escape(label) in text for each in module_configs() for label, _ in each.navigation)


def test_pages_allow_no_inline_scripts_and_no_foreign_origins(client: Client) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    for directive in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert client.get("/favicon.ico").headers["Location"] == "/static/core/icon.svg"


def test_every_form_that_is_posted_has_a_token() -> None:
    form = re.compile(r"<form\b[^>]*\bmethod=[\"']?post\b.*?</form>", re.I | re.S)
    texts = [path.read_text(encoding="utf-8") for path in APPS.glob("*/templates/**/*.html")]
    forms = [found for text in texts for found in form.findall(text)]
    assert forms
    assert [each for each in forms if "% csrf_token %" not in each] == []


def test_the_health_check_names_the_parts_that_say_how_they_do(client: Client) -> None:
    answer = client.get("/health/")
    assert answer.status_code == 200
    assert set(answer.json().values()) == {"ok"}
    assert list(answer.json())[:2] == ["status", "database"]
    assert "core" not in answer.json()


@pytest.mark.parametrize(
    ("state", "code"), [(Health.DEGRADED, 200), (Health.UNAVAILABLE, 503), (None, 200)]
)
def test_the_health_of_an_app_counts(
    client: Client, monkeypatch: pytest.MonkeyPatch, state: Health | None, code: int
) -> None:
    def health() -> Health:
        if state is None:
            raise DatabaseError("no such table")
        return state

    monkeypatch.setattr(apps.get_app_config("accounts"), "health", health)
    answer = client.get("/health/")
    assert answer.status_code == code
    assert answer.json()["accounts"] == answer.json()["status"] == (state or "degraded")


def test_without_a_database_the_project_is_unavailable(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/health/")
    assert (answer.status_code, answer.json()["database"]) == (503, "unavailable")
    assert client.get("/health/live/").json() == {"status": "ok"}


def test_probes_are_answered_over_plain_http_for_any_host(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["www.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    host = {"host": "10.1.2.3"}
    assert client.get("/health/", headers=host).json()["status"] == "ok"
    asynchronous = async_to_sync(AsyncClient().get)("/health/live/", headers=host)
    assert asynchronous.status_code == 200
    assert client.get("/health/else/", headers=host).status_code == 400
    assert client.get("/", headers=host).status_code == 400


def test_what_cannot_be_looked_up_is_no_error_of_the_project(admin_client: Client) -> None:
    answer = admin_client.get("/admin/accounts/user/?username__regex=[")
    assert (answer.status_code, answer.text) == (400, "Nothing can be looked up like that.\n")


def test_mail_of_development_can_be_read_and_its_links_followed() -> None:
    link = f"https://www.example.com/{'long/' * 30}"
    mail = EmailMultiAlternatives(
        "Grüße", f"Follow {link}\n", "me@example.com", ["ada@example.com"]
    )
    mail.attach_alternative(f"<p>{link}</p>", "text/html")
    mail.attach("letter.pdf", b"%PDF", "application/pdf")
    stream = StringIO()
    ReadableConsoleBackend(stream=stream).send_messages([mail])
    head, *parts = stream.getvalue().split("\n\n")
    assert head.startswith("Subject: Grüße\nFrom: me@example.com\nTo: ada@example.com\n")
    assert parts[:2] == [f"Follow {link}", f"<p>{link}</p>"]
    assert parts[2].startswith("[application/pdf: letter.pdf]\n")
