"""Settings from the environment, and the log: ready for development, strict in production."""

import json
import logging
import runpy
from copy import deepcopy
from io import StringIO
from logging.config import DictConfigurator
from pathlib import Path
from typing import Any

import pytest
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
    """Return a function that reads the settings anew, without .env."""
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


def test_the_example_environment_is_one_for_development(read: Any) -> None:
    lines = (BASE_DIR / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    found = read(**dict.fromkeys(PRODUCTION, "") | example)
    assert found["DEBUG"] is True
    assert found["MAILERS"]["default"]["BACKEND"] == "apps.core.mail.ReadableConsoleBackend"
    assert found["DATABASES"]["default"]["ENGINE"] == "django.db.backends.sqlite3"


@pytest.fixture
def log(read: Any) -> Any:
    """Log as in production; return a function that gives the lines as objects."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(RequestFilter())
    configuration: Any = DictConfigurator(deepcopy(read()["LOGGING"]))
    json_lines = configuration.config["formatters"]["json"]
    handler.setFormatter(configuration.configure_formatter(json_lines))
    logging.root.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logging.root.removeHandler(handler)


@pytest.mark.django_db
def test_every_line_of_the_log_names_its_request(client: Client, log: Any) -> None:
    answer = client.get("/elsewhere/the-secret/")
    with acting_as(None, source="job", request_id="the-request"):
        logging.getLogger(__name__).warning("“Seen”\n%s", "twice", extra={"odd": {(1,): object}})
    missing, seen = log()
    assert missing["request_id"] == answer.headers["X-Request-ID"]
    assert missing["message"] == "Not Found: /elsewhere/..."
    assert (seen["message"], seen["request_id"]) == ("“Seen”\ntwice", "the-request")
    assert (seen["level"], seen["logger"]) == ("WARNING", __name__)
