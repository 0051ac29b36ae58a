"""The home page and the health check."""

from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection
from django.test import Client
from django.utils.html import escape

from apps.core.modules import Health, ModuleConfig, module_configs


@pytest.mark.django_db
def test_the_home_page_shows_the_project_and_its_modules(client: Client, settings: Any) -> None:
    text = client.get("/").text
    assert f"<h1>{escape(settings.PROJECT_NAME)}</h1>" in text
    for config in module_configs():
        assert escape(config.verbose_name) in text
        assert escape(config.summary) in text


def test_every_module_has_a_summary() -> None:
    assert module_configs()
    assert all(config.summary.endswith(".") for config in module_configs())


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
def test_the_home_page_says_in_development_where_to_edit_it(
    client: Client, settings: Any, debug: bool
) -> None:
    settings.DEBUG = debug
    assert ("Edit this page in" in client.get("/").text) is debug


@pytest.mark.django_db
def test_the_home_page_shows_what_one_app_says_of_another(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = apps.get_app_config("core")
    monkeypatch.setattr(config, "details", lambda: {"accounts": "<of Accounts>"})
    before, _, after = client.get("/").text.partition("<code>apps.accounts</code>")
    assert "&lt;of Accounts&gt;" not in before
    assert "&lt;of Accounts&gt;" in after


@pytest.mark.django_db
def test_the_navigation_is_for_people_who_are_logged_in(
    client: Client, django_user_model: Any
) -> None:
    assert 'href="/accounts/login/"' in client.get("/").text
    client.force_login(django_user_model.objects.create_user("ada"))
    text = client.get("/").text
    assert "Log out ada" in text
    for config in module_configs():
        for label, _ in config.navigation:
            assert label in text


@pytest.mark.django_db
def test_pages_send_a_content_security_policy(client: Client) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy


def test_browsers_that_guess_find_the_icon(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert answer.headers["Location"] == "/static/core/icon.svg"


@pytest.mark.django_db
def test_the_health_check_is_fine_when_the_database_answers(client: Client) -> None:
    answer = client.get("/health/")
    assert answer.status_code == 200
    assert set(answer.json().values()) == {"ok"}
    assert list(answer.json())[:2] == ["status", "database"]
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_the_health_check_fails_when_the_database_does_not_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/health/")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "unavailable"}
    assert "check DATABASE_URL" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "status_code"), [("ok", 200), ("degraded", 200), ("unavailable", 503)]
)
def test_an_app_reports_its_health(
    client: Client, monkeypatch: pytest.MonkeyPatch, state: str, status_code: int
) -> None:
    config = apps.get_app_config("accounts")
    monkeypatch.setattr(config, "health", lambda: Health(state))
    answer = client.get("/health/")
    assert answer.status_code == status_code
    assert answer.json()["status"] == state
    assert answer.json()["accounts"] == state
    assert answer.json()["database"] == "ok"


@pytest.mark.django_db
def test_an_app_with_nothing_to_say_is_not_named(client: Client) -> None:
    assert ModuleConfig.health(module_configs()[0]) is None
    assert "core" not in client.get("/health/").json()


@pytest.mark.django_db
def test_an_app_that_cannot_report_its_health_is_degraded(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Health:
        raise DatabaseError("no such table")

    monkeypatch.setattr(apps.get_app_config("accounts"), "health", fail)
    answer = client.get("/health/")
    assert answer.status_code == 200
    assert answer.json()["accounts"] == "degraded"
    assert "Accounts cannot say how it does." in caplog.text
    assert "no such table" in caplog.text
