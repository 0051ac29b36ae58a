"""Every variable of the environment is understood, or refused in one sentence."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment

from .test_settings import BASE_DIR, PRODUCTION, run, setting


def given(name: str, value: str, kind: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(name, value)
    return environment.read(name, kind, "the default", "an-example")


def sentence(name: str, value: str, kind: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    with pytest.raises(ImproperlyConfigured) as refusal:
        given(name, value, kind, monkeypatch)
    text = str(refusal.value)
    assert text.startswith(f"The environment variable {name} ")
    assert text.endswith(f"; write for example {name}=an-example")
    assert "\n" not in text
    return text


KINDS: dict[str, Any] = {
    "flag": environment.flag,
    "number": environment.number,
    "positive": environment.positive,
    "level": environment.one_of("DEBUG", "INFO"),
    "format": environment.one_of("line", "json"),
    "port": environment.port,
    "host": environment.host,
    "hosts": environment.hosts,
    "origin": environment.origin,
    "origins": environment.origins,
    "address": environment.address,
    "key": environment.secret_key,
    "text": str,
}


@pytest.mark.parametrize(
    ("kind", "value", "used"),
    [
        *(("flag", value, True) for value in ("1", "true", "True", "YES", "on", "y", " 1 ")),
        *(("flag", value, False) for value in ("0", "false", "No", "OFF", "n", "f")),
        *((kind, "", "the default") for kind in KINDS),
        *((kind, "  ", "the default") for kind in KINDS),
        ("number", "0", 0),
        ("number", "31536000", 31536000),
        ("positive", "16", 16),
        ("port", "65535", 65535),
        ("level", "debug", "DEBUG"),
        ("format", "JSON", "json"),
        ("host", "[::1]", "[::1]"),
        ("hosts", "a.example, .b.example,", ["a.example", ".b.example"]),
        ("hosts", "*", ["*"]),
        ("hosts", "127.0.0.1,[::1],localhost", ["127.0.0.1", "[::1]", "localhost"]),
        ("origins", "https://a.example", ["https://a.example"]),
        (
            "origins",
            "https://*.a.example, http://localhost:8000",
            ["https://*.a.example", "http://localhost:8000"],
        ),
        ("origin", "http://[::1]:8000", "http://[::1]:8000"),
        ("address", "me@example.com", "me@example.com"),
        ("address", "Shop <me@example.com>", "Shop <me@example.com>"),
        ("address", '"Shop, Inc" <me@example.com>', '"Shop, Inc" <me@example.com>'),
        ("key", "$a-key-with#signs", "$a-key-with#signs"),
        ("text", "$UNSET", "$UNSET"),
    ],
)
def test_a_value_is_understood(
    kind: str, value: str, used: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given("NAMED", value, KINDS[kind], monkeypatch) == used


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        *(
            ("flag", value, f"is {value!r}, which is neither yes (1) nor no (0)")
            for value in ("enabled", "disabled", "2", "None", "1 # yes", "'1'", "$FLAG")
        ),
        *(
            ("number", value, f"is {value!r}, which is no whole number")
            for value in ("1m", "-1", "1.5", "1_000", "٣", "None", "1e3", "9999999999")
        ),
        ("positive", "0", "is '0', which is no whole number from 1 to 999999999"),
        ("port", "65536", "is '65536', which is no whole number from 1 to 65535"),
        ("level", "verbose", "is 'verbose', but must be one of DEBUG, INFO"),
        ("level", "10", "is '10', but must be one of DEBUG, INFO"),
        ("format", "text", "is 'text', but must be one of line, json"),
        *(
            ("hosts", value, f"has {value!r}, which is no host name")
            for value in (
                "https://a.example",
                "a.example/",
                "a.example:8000",
                "*.a.example",
                "a b",
                '["a.example"]',
                "::1",
                "bücher.example",
                "$HOST",
                ",",
            )
        ),
        *(
            ("host", value, f"has {value!r}, which is no host name")
            for value in ("*", ".a.example", "a.example,b.example", ",")
        ),
        ("hosts", "a.example;b.example", "has 'a.example;b.example', which is no host name"),
        *(
            ("origins", value, f"has {value!r}, which is no origin")
            for value in (
                "a.example",
                "https://a.example/",
                "https://a.example/x",
                "https://",
                "*",
                ",",
            )
        ),
        *(
            ("origin", value, f"has {value!r}, which is no origin")
            for value in ("https://*.a.example", "https://a.example,https://b.example", ",")
        ),
        *(
            ("address", value, f"has {value!r}, which is no e-mail address")
            for value in (
                "shop",
                "Shop <shop>",
                "Shop, Inc <me@a.example>",
                "me@",
                "me@.example",
                "mailto:me@a.example",
                "me@a.example # shop",
                "me@exa mple.com",
                "Shop [x] <me@a.example>",
                "Shop <me@a.example",
                "a@b.example\nBcc: c@d.example",
                "$FROM",
            )
        ),
        ("key", "$(openssl rand -base64 48)", "is a command"),
        ("key", "`openssl rand -base64 48`", "is a command"),
        ("key", "${SECRET_KEY}", "is a command"),
        ("key", "django-insecure-0123", "is the key for development"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    kind: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why in sentence("NAMED", value, KINDS[kind], monkeypatch)


POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "shop",
    "USER": "me",
    "PASSWORD": "secret",
    "HOST": "db",
    "PORT": "5433",
    "OPTIONS": {},
}


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("postgres://me:secret@db:5433/shop", {}),
        ("postgresql://me:secret@db:5433/shop", {}),
        ("postgres://me:secret@db/shop", {"PORT": ""}),
        ("postgres://me:s%2Fe%40c%23%3F%25@db:5433/shop", {"PASSWORD": "s/e@c#?%"}),
        ("postgres://me:secret@%2FVar%2Frun:5433/shop", {"HOST": "/Var/run"}),
        ("postgres:///shop", {"USER": "", "PASSWORD": "", "HOST": "", "PORT": ""}),
        (
            "postgres:///shop?host=/run/postgresql",
            {"USER": "", "PASSWORD": "", "HOST": "/run/postgresql", "PORT": ""},
        ),
        ("postgres://me:secret@[::1]:5433/shop", {"HOST": "::1"}),
        ("postgres://me:secret@a:1,b:2/shop", {"HOST": "a,b", "PORT": "1,2"}),
        ("postgres://me:secret@db:5433/shop?sslmode=require", {"OPTIONS": {"sslmode": "require"}}),
        (
            "postgres://me:secret@db:5433/shop?options=-c%20search_path%3Da",
            {"OPTIONS": {"options": "-c search_path=a"}},
        ),
    ],
)
def test_every_part_of_the_url_of_postgresql_counts(url: str, used: dict[str, object]) -> None:
    assert environment.database(url) == POSTGRESQL | used


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///db.sqlite3", "db.sqlite3"),
        ("sqlite:////srv/my%20db.sqlite3", "/srv/my db.sqlite3"),
        ("sqlite:////srv/me@home.sqlite3", "/srv/me@home.sqlite3"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_every_part_of_the_url_of_sqlite_counts(url: str, name: str) -> None:
    assert environment.database(url)["NAME"] == name


SMTP = {
    "host": "mail.example.com",
    "port": 587,
    "username": "user",
    "password": "secret",
    "use_tls": False,
    "use_ssl": False,
    "timeout": 10,
}


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("smtp+tls://user:secret@mail.example.com", {"use_tls": True}),
        ("smtp+ssl://user:secret@mail.example.com", {"use_ssl": True, "port": 465}),
        ("smtps://user:secret@mail.example.com", {"use_ssl": True, "port": 465}),
        ("smtps://user:secret@mail.example.com:4465", {"use_ssl": True, "port": 4465}),
        ("smtp://mail.example.com", {"username": "", "password": "", "port": 25}),
        (
            "smtp+tls://user@a.example:se@cret:1@[::1]:25",
            {
                "host": "::1",
                "port": 25,
                "username": "user@a.example",
                "password": "se@cret:1",
                "use_tls": True,
            },
        ),
        (
            "smtp+tls://us%40er:s%2Fe%3F@mail.example.com",
            {"use_tls": True, "username": "us@er", "password": "s/e?"},
        ),
    ],
)
def test_every_part_of_the_url_of_a_mail_server_counts(url: str, used: dict[str, object]) -> None:
    entry = environment.mailer(url)
    assert entry["BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert entry["OPTIONS"] == SMTP | used


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("filemail:///srv/mail", "/srv/mail"),
        ("filemail:////srv/mail", "/srv/mail"),
        ("filemail:///srv/my%20mail", "/srv/my mail"),
    ],
)
def test_mail_is_written_to_the_folder_that_is_named(url: str, folder: str) -> None:
    assert environment.mailer(url)["OPTIONS"] == {"file_path": folder}


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        *(
            ("database", value, "is no URL that this project knows")
            for value in (
                "secret",
                "localhost:5432/shop",
                "https://127.0.0.1/shop",
                "mysql://me:secret@db/shop",
                "postgres:shop",
                "postgres://me:secret@db",
                "postgres://me:secret/ret@db:5433/shop",
                "postgres://me:secret#ret@db:5433/shop",
                "postgres://me:secret?ret@db:5433/shop",
                "postgres://me:12/secret@db:5433/shop",
                "postgres://me:sec ret@db:5433/shop",
                "postgres://me:pass@secret@db:5433/shop",
                "postgres://db:secret/shop",
                "sqlite://",
                "sqlite:///",
                "sqlite://:memory:secret",
                "sqlite://secret/db.sqlite3",
                "$DATABASE",
            )
        ),
        *(
            ("database", value, "has a part that PostgreSQL does not know, perhaps after the ?")
            for value in (
                "postgres://me:secret@db/shop?tls=1",
                "postgres://me:secret@db/shop?timeout=5",
                "postgres://me:secret@db/shop?pool=true",
                "postgres://me:secret@db/shop?conn_max_age=5",
                "postgres://me:secret@db/shop?sslmode",
                "postgres://me:secret%zz@db/shop",
            )
        ),
        ("database", "sqlite:///db.sqlite3?timeout=5", "is no URL that this project knows"),
        *(
            ("mailer", value, "is no URL that this project knows")
            for value in (
                "secret",
                "mail.example.com:587",
                "smtp:mail.example.com",
                "smtp://",
                "smtp://user:secret/ret@mail.example.com",
                "smtp://user:secret#ret@mail.example.com",
                "smtp://user:12?secret@mail.example.com",
                "smtp://mail.example.com:secret",
                "smtp://mail.example.com:99999",
                "smtp://mail.example.com:0",
                "smtp://mail.example.com/secret",
                "smtp://mail%2Fsecret",
                "smtp://secret,mail.example.com",
                "smtp://secret@mail.example.com",
                "smtp://:secret@mail.example.com",
                "smtp://secret:@mail.example.com",
                "filemail://",
                "filemail://srv/mail",
                "consolemail://secret",
                "memorymail:///secret",
            )
        ),
        *(
            ("mailer", value, "to encrypt mail use smtp+tls:// or smtps://")
            for value in (
                "smtp://user:secret@mail.example.com?tls=True",
                "smtp://user:secret@mail.example.com?ssl=true",
                "smtp://user:secret@mail.example.com?timeout=5",
                "smtp://mail.example.com?secret",
                "filemail:///srv/mail?timeout=1",
            )
        ),
    ],
)
def test_a_url_with_unknown_parts_is_refused_without_its_secret(
    kind: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = sentence("NAMED", value, getattr(environment, kind), monkeypatch)
    assert why in refusal
    assert "secret" not in refusal


# A variable of the project -> what is refused in production
REFUSED = {
    "DEBUG": "enabled",
    "SECRET_KEY": "$(openssl rand -base64 48)",
    "ALLOWED_HOSTS": "https://a.example",
    "EMAIL_URL": "smtp://mail.example.com?tls=True",
    "DATABASE_URL": "mysql://db/shop",
    "CSRF_TRUSTED_ORIGINS": "https://a.example/",
    "BEHIND_PROXY": "enabled",
    "SECURE_SSL_REDIRECT": "enabled",
    "SECURE_HSTS_SECONDS": "1h",
    "DEFAULT_FROM_EMAIL": "shop",
    "LOG_FORMAT": "text",
    "LOG_LEVEL": "verbose",
}


@pytest.mark.parametrize(("name", "value"), [*REFUSED.items(), ("CONN_MAX_AGE", "1m")])
def test_the_settings_read_every_variable_in_this_way(name: str, value: str) -> None:
    database = {"DATABASE_URL": "postgres:///shop"} if name == "CONN_MAX_AGE" else {}
    done = run("manage.py", "check", **PRODUCTION | database | {name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: The environment variable {name} ")
    assert f"; write for example {name}=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_variable_that_is_empty_counts_as_not_set() -> None:
    optional = {*REFUSED, "CONN_MAX_AGE"} - {*PRODUCTION}
    expression = "[s.DEFAULT_FROM_EMAIL, s.LOG_LEVEL, s.LOG_FORMAT, s.SECURE_SSL_REDIRECT]"
    empty = dict.fromkeys(optional, "")
    assert setting(expression, **PRODUCTION | empty) == setting(expression, **PRODUCTION)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"\xef\xbb\xbfNAMED=1\n", "1"),
        (b"NAMED=1\r\nOTHER=2\r\n", "1"),
        (b"NAMED=1 # one\n", "1"),
        (b"NAMED='a b # c'\n", "a b # c"),
        (b"NAMED=$OTHER\n", "$OTHER"),
        (b"export NAMED=a#b", "a#b"),
        (b"NAMED=\n", ""),
        (b"# nothing\n", None),
    ],
)
def test_a_file_of_any_editor_is_read(
    written: bytes, read: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NAMED", "OTHER"):
        monkeypatch.setenv(name, "before")  # so that it is put back
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_bytes(written)
    environment.load(tmp_path / ".env")
    assert os.environ.get("NAMED") == read


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("NAMED=1\n".encode("utf-16"), "other text than lines of NAME=value in UTF-8"),
        ("NAMED=1\n".encode("utf-16-le"), "see from line 1 on"),
        ("NAMED=é\n".encode("latin-1"), "other text than lines of NAME=value in UTF-8"),
        *(
            (b"OTHER=2\n" + line, "see from line 2 on")
            for line in (
                b"NAMED\n",
                b"NAMED: 1\n",
                b"set NAMED=1\n",
                b'NAMED="1\n',
                b"NAMED='1' 2\n",
                b"NAMED=1\0\n",
                "\u200bNAMED=1\n".encode(),
            )
        ),
    ],
)
def test_a_file_that_would_be_misread_is_refused(written: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(written)
    with pytest.raises(ImproperlyConfigured, match=why):
        environment.load(tmp_path / ".env")


def loaded(folder: Path, file: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Read DEBUG in a folder with this .env and an environment of these variables."""
    (folder / ".env").write_text(file, encoding="utf-8")
    code = (
        "from pathlib import Path; from config import environment as e;"
        "e.load(Path(r'%s')); print(e.read('DEBUG', e.flag, False, '1'))" % (folder / ".env")
    )
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["SECRET_KEY", "ALLOWED_HOSTS"])
def test_a_file_of_development_does_not_turn_debug_on_in_production(
    name: str, tmp_path: Path
) -> None:
    done = loaded(tmp_path, "DEBUG=1\n", **{name: "of-production"})
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert f"sets DEBUG, but the environment sets {name} as in production" in refusal
    assert loaded(tmp_path, "DEBUG=' yes '\n", **{name: "of-production"}).returncode == 1
    assert loaded(tmp_path, "DEBUG=1\n", **{name: "x"}, DEBUG="0").stdout == "False\n"
    assert loaded(tmp_path, "DEBUG=1\n", **{name: "x"}, DEBUG="1").stdout == "True\n"
    assert loaded(tmp_path, "DEBUG=0\n", **{name: "x"}).stdout == "False\n"
    assert loaded(tmp_path, f"DEBUG=1\n{name}=x\n").stdout == "True\n"
