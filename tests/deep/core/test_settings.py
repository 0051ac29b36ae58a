"""Settings from the environment: ready for development, strict in production."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BASE_DIR = Path(__file__).resolve().parents[4]

PRODUCTION = {
    "DEBUG": "0",
    "SECRET_KEY": "X7v!k2#pLq9$wZr4&nTb6*mHs8@dFg1^jYc3(eUa5)oRi0-xQ7mVb2Kz",
    "ALLOWED_HOSTS": "www.example.com,example.com",
    "EMAIL_URL": "smtp+tls://user:pass%40word@mail.example.com:587",
}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project with this environment, and no .env beside it."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ
    }
    return subprocess.run(  # noqa: S603
        [sys.executable, *command],
        cwd=BASE_DIR,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def setting(expression: str, **environment: str) -> object:
    code = f"import json; from config import settings as s; print(json.dumps({expression}))"
    done = run("-c", code, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["SECRET_KEY", "ALLOWED_HOSTS", "EMAIL_URL"])
def test_production_names_the_variable_that_is_missing(name: str) -> None:
    done = run("manage.py", "check", **PRODUCTION | {name: ""})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: The environment variable {name} is not set;")
    assert len(done.stderr.splitlines()) == 1


def test_production_refuses_the_key_for_development() -> None:
    environment = PRODUCTION | {"SECRET_KEY": "django-insecure-development-only"}
    done = run("manage.py", "check", **environment)
    assert done.returncode == 1
    assert "SECRET_KEY is the key for development" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_production_passes_the_deployment_check() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_production_sends_mail_where_the_url_says() -> None:
    assert setting("s.MAILERS['default']", **PRODUCTION) == {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": "mail.example.com",
            "port": 587,
            "username": "user",
            "password": "pass@word",
            "use_tls": True,
            "use_ssl": False,
            "timeout": 10,
        },
    }


def test_mail_can_be_written_to_a_folder() -> None:
    assert setting("s.MAILERS['default']", DEBUG="1", EMAIL_URL="filemail:////srv/mail") == {
        "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "OPTIONS": {"file_path": "/srv/mail"},
    }


def test_production_splits_the_hosts() -> None:
    hosts = setting("s.ALLOWED_HOSTS", **PRODUCTION)
    assert hosts == ["www.example.com", "example.com"]


def test_development_prints_mail_and_uses_sqlite() -> None:
    environment = {"DEBUG": "1", "DATABASE_URL": "", "EMAIL_URL": "consolemail://"}
    assert setting("[s.MAILERS, s.DATABASES['default']['ENGINE']]", **environment) == [
        {"default": {"BACKEND": "apps.core.mail.ReadableConsoleBackend", "OPTIONS": {}}},
        "django.db.backends.sqlite3",
    ]


def test_a_key_may_begin_with_a_dollar() -> None:
    key = f"${PRODUCTION['SECRET_KEY']}"
    assert setting("s.SECRET_KEY", **PRODUCTION | {"SECRET_KEY": key}) == key
    assert setting("s.SECRET_KEY", DEBUG="1", SECRET_KEY=key) == key


def test_blanks_in_a_list_are_no_part_of_it() -> None:
    lists = "[s.ALLOWED_HOSTS, s.CSRF_TRUSTED_ORIGINS]"
    given = {
        "ALLOWED_HOSTS": "a.example, b.example",
        "CSRF_TRUSTED_ORIGINS": "https://a.example, https://b.example",
    }
    expected = [["a.example", "b.example"], ["https://a.example", "https://b.example"]]
    assert setting(lists, **PRODUCTION | given) == expected
    assert setting(lists, DEBUG="1", **given) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "foo"),
        ("DATABASE_URL", "localhost:5432/shop"),
        ("DATABASE_URL", "https://127.0.0.1:5432/shop"),
        ("DATABASE_URL", "postgres://me:sec/ret@127.0.0.1:5432/shop"),
        ("EMAIL_URL", "smtp.example.com"),
        ("EMAIL_URL", "smtp.example.com:587"),
        ("EMAIL_URL", "smtp://me:sec#ret@mail.example.com:587"),
    ],
)
def test_a_wrong_url_is_refused_without_its_secret(name: str, value: str) -> None:
    done = run("manage.py", "check", **PRODUCTION | {name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: The environment variable {name} ")
    assert len(done.stderr.splitlines()) == 1
    assert "sec" not in done.stderr


def test_browsers_use_https_for_an_hour_and_no_preload_list() -> None:
    hsts = "[s.SECURE_HSTS_SECONDS, getattr(s, 'SECURE_HSTS_PRELOAD', False)]"
    assert setting(hsts, **PRODUCTION) == [3600, False]


def test_a_database_url_names_the_database() -> None:
    database = setting(
        "s.DATABASES['default']", DEBUG="1", DATABASE_URL="postgres://me:secret@db:5433/shop"
    )
    assert isinstance(database, dict)
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["NAME"], database["HOST"], database["PORT"]) == ("shop", "db", "5433")
    assert database["CONN_HEALTH_CHECKS"] is True


def test_the_example_environment_is_one_for_development() -> None:
    lines = (BASE_DIR / ".env.example").read_text(encoding="utf-8").splitlines()
    active = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    used = "[s.DEBUG, s.MAILERS['default']['BACKEND'], s.DATABASES['default']['ENGINE']]"
    assert setting(used, **active) == [
        True,
        "apps.core.mail.ReadableConsoleBackend",
        "django.db.backends.sqlite3",
    ]
