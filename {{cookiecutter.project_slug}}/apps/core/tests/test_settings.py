"""The settings, ready for development and strict in production, and the log."""

import json
import logging
import runpy
from copy import deepcopy
from logging.config import DictConfigurator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from apps.core.actor import acting_as
from apps.core.log import RequestFilter
from config import environment

BASE_DIR = Path(__file__).resolve().parents[3]
PRODUCTION = {
    "DEBUG": "0",
    "SECRET_KEY": "X7v!k2#pLq9$wZr4&nTb6*mHs8@dFg1^jYc3(eUa5)oRi0-xQ7mVb2Kz",
    "ALLOWED_HOSTS": "www.example.com, example.com",
    "EMAIL_URL": "smtp+tls://user:pass%40word@mail.example.com:587",
    "DATABASE_URL": "",
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that reads the settings again, without .env."""
    monkeypatch.setattr(environment, "load", lambda path: None)

    def read(**environment: str) -> dict[str, Any]:
        for name, value in (PRODUCTION | environment).items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(BASE_DIR / "config" / "settings.py"))

    return read


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ALLOWED_HOSTS", "", "is not set"),
        ("SECRET_KEY", "django-insecure-development-only", "which everybody knows"),
        ("DATABASE_URL", "localhost:5432/shop", "is no URL"),
    ],
)
def test_production_refuses_a_variable_in_a_sentence(
    read: Any, name: str, value: str, why: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"The environment variable {name} .*{why}"):
        read(**{name: value})


def test_production_is_strict(read: Any) -> None:
    found = read(DATABASE_URL="postgres://me:secret@db:5433/shop", BEHIND_PROXY="1")
    assert found["DEBUG"] is False
    assert found["ALLOWED_HOSTS"] == ["www.example.com", "example.com"]
    assert found["MAILERS"]["default"]["OPTIONS"]["password"] == "pass@word"
    assert found["MAILERS"]["default"]["OPTIONS"]["use_tls"] is True
    assert found["DATABASES"]["default"]["HOST"] == "db"
    assert found["SECURE_SSL_REDIRECT"]
    assert found["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")
    assert found["LOGGING"]["handlers"]["console"]["formatter"] == "json"
    assert "SECURE_PROXY_SSL_HEADER" not in read(BEHIND_PROXY="0")


@pytest.mark.django_db
def test_every_line_of_the_log_names_its_request(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: Any = DictConfigurator(deepcopy(settings.LOGGING))
    json_lines = log.configure_formatter(log.config["formatters"]["json"])
    monkeypatch.setattr(caplog.handler, "formatter", json_lines)
    with caplog.filtering(RequestFilter()):
        answer = client.get("/elsewhere/the-secret/")
        with acting_as(None, source="job", request_id="the-job"):
            odd = {"odd": {(1,): object}}
            logging.getLogger(__name__).warning("“Seen”\n%s", "twice", extra=odd)
    missing, seen = map(json.loads, caplog.text.splitlines())
    assert missing["request_id"] == answer.headers["X-Request-ID"]
    assert missing["message"] == "Not Found: /elsewhere/..."
    assert (seen["message"], seen["request_id"]) == ("“Seen”\ntwice", "the-job")
    assert (seen["level"], seen["logger"]) == ("WARNING", __name__)
