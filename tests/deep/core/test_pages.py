"""The home page and the health check."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.core.handlers.wsgi import WSGIHandler
from django.db import DatabaseError
from django.http import HttpRequest, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.utils.html import escape

from apps.core import views
from apps.core.middleware import actor_middleware
from apps.core.modules import Health, ModuleConfig, module_configs

from .test_settings import PRODUCTION, run


@pytest.mark.django_db
def test_the_home_page_shows_the_project_and_its_modules(client: Client, settings: Any) -> None:
    settings.DEBUG = True
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
def test_the_home_page_shows_the_details_of_one_app_for_another(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DEBUG = True
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
    def refuse() -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(views, "ask_database", refuse)
    answer = client.get("/health/")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "unavailable"}
    assert "check DATABASE_URL" in caplog.text


@pytest.mark.django_db
def test_the_health_check_fails_while_the_database_is_silent(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither this probe nor the next one waits for the database."""
    speak = threading.Event()
    monkeypatch.setattr(views, "ask_database", speak.wait)
    monkeypatch.setattr(views, "DATABASE_SECONDS", 0.01)
    assert [client.get("/health/").status_code for _ in range(3)] == [503, 503, 503]
    assert client.get("/health/live/").status_code == 200
    monkeypatch.setattr(views, "ask_database", lambda: None)
    monkeypatch.setattr(views, "DATABASE_SECONDS", 60)
    speak.set()
    assert client.get("/health/").status_code == 200


def test_a_server_that_accepts_and_is_silent_does_not_hang_a_probe() -> None:
    """Without a time limit for connections this test would never end."""
    ask = (
        "from config import environment as e; e.load = lambda path: None; import django;"
        "django.setup(); from django.test import Client; from django.db import connection\n"
        "print(Client().get('/health/').status_code, Client().get('/health/live/').status_code)\n"
        "try: connection.cursor()\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgres://127.0.0.1:{server.getsockname()[1]}/shop"
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url}
        done = run("-c", ask, **PRODUCTION | settings)
    assert done.stdout == "503 200\nOperationalError\n", done.stderr


def test_statements_of_requests_have_a_time_limit_and_those_of_commands_have_none() -> None:
    for code, limit in (
        ("import runpy; runpy.run_path('gunicorn.conf.py')", "-c statement_timeout=30s"),
        ("import config.settings", "None"),
    ):
        done = run("-c", f"{code}; import os; print(os.environ.get('PGOPTIONS'))", **PRODUCTION)
        assert done.stdout == f"{limit}\n", done.stderr


def test_a_missing_manifest_of_static_files_is_an_error(tmp_path: Path) -> None:
    """Without the manifest, all pages in production are errors."""
    with override_settings(STATIC_ROOT=tmp_path):
        storage = ManifestStaticFilesStorage()
        assert storage.hashed_files == {}
        with pytest.raises(ValueError, match="Missing staticfiles manifest entry"):
            storage.stored_name("core/site.css")
        (tmp_path / "staticfiles.json").write_text(
            '{"paths": {"a.css": "a.1.css"}, "version": "1.1", "hash": ""}', encoding="utf-8"
        )
        assert ManifestStaticFilesStorage().hashed_files


@pytest.mark.django_db
def test_without_static_files_the_project_is_unavailable(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staticfiles_storage, "hashed_files", {}, raising=False)
    answer = client.get("/health/")
    assert (answer.status_code, answer.json()["core"]) == (503, "unavailable")


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/", "/health/", "/health/live/", "/elsewhere/", "/admin/login/"])
def test_a_request_for_the_head_of_a_page_has_no_body(rf: RequestFactory, page: str) -> None:
    """The test calls the handler, because the test client would drop the body."""
    handler: Any = WSGIHandler()
    status: list[Any] = []
    for method in ("GET", "HEAD"):
        environ = rf.generic(method, page).environ
        body = b"".join(handler(environ, lambda *given: status.append(given)))
        assert bool(body) is (method == "GET")
    (get, get_headers, *_), (head, head_headers, *_) = status
    assert get == head
    lengths = [dict(headers).get("Content-Length") for headers in (get_headers, head_headers)]
    assert lengths[0] == lengths[1]


def test_a_stream_has_no_body_either(rf: RequestFactory) -> None:
    def page(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"body"]))

    answer: Any = actor_middleware(page)(rf.head("/"))
    assert b"".join(answer.streaming_content) == b""
    answer = actor_middleware(page)(rf.get("/"))
    assert b"".join(answer.streaming_content) == b"body"


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
def test_an_app_without_a_state_is_not_listed(client: Client) -> None:
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
    assert "The health check of Accounts failed." in caplog.text
    assert "no such table" in caplog.text
