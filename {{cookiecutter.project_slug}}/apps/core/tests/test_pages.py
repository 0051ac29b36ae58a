"""The home page, the health check and probes."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.db import DatabaseError
from django.test import AsyncClient, Client
from django.utils.html import escape

from apps.accounts.models import User
from apps.core import views
from apps.core.modules import Health, module_configs

pytestmark = pytest.mark.django_db


def test_the_home_page_greets_people_and_shows_the_parts_in_development(
    client: Client, settings: Any
) -> None:
    assert "/accounts/signup/" in client.get("/").text
    assert module_configs()[0].summary not in client.get("/").text
    client.force_login(User.objects.create_user("ada"))
    assert "Welcome, ada" in client.get("/").text
    settings.DEBUG = True
    text = client.get("/").text
    for config in module_configs():
        assert config.summary.endswith(".")
        assert escape(config.verbose_name) in text
        assert escape(config.summary) in text


def test_the_admin_has_the_name_of_the_project(client: Client, settings: Any) -> None:
    text, name = client.get("/admin/login/").text, escape(settings.PROJECT_NAME)
    assert f"| {name}</title>" in text
    assert f'<a href="/admin/">{name}</a>' in text


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


@pytest.mark.parametrize("error", [DatabaseError, TimeoutError])
def test_without_a_database_the_project_is_unavailable(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(views, "ask_database", refuse)
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
