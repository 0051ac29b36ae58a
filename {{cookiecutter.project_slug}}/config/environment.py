"""One reader for the environment: a variable means what it says, or one sentence refuses it.

A kind is a function that makes a value of the text; its ValueError says what was given and why
that is wrong. Compose and CI systems pass empty variables on, so an empty one counts as not set.
"""

import os
import re
from collections.abc import Callable
from email.utils import parseaddr
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote
from urllib.request import url2pathname

from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values

YES: Final = ("1", "true", "yes", "on", "y", "t")
NO: Final = ("0", "false", "no", "off", "n", "f")
HOST: Final = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]"
# It repeats nothing: what stands in a wrong place may be a part of a password.
NO_URL: Final = (
    "is no URL of a kind that is known here (in a password write / as %2F, @ as %40, # as %23,"
    " ? as %3F and so on)"
)
# A name or password may hold an @, as in the addresses that many providers take for a name.
SERVER: Final = re.compile(
    r"(?P<scheme>smtp|smtps|smtp\+tls|smtp\+ssl)://"
    r"((?P<username>[^\s:/?#]*)(:(?P<password>[^\s/?#]*))?@)?"
    r"(?P<host>[^\s@:/?#\[\]]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?"
)
PORTS: Final = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465, "smtps": 465}
NO_SERVER: Final = {
    "consolemail://": "apps.core.mail.ReadableConsoleBackend",
    "memorymail://": "django.core.mail.backends.locmem.EmailBackend",
    "dummymail://": "django.core.mail.backends.dummy.EmailBackend",
}


def load(path: Path) -> None:
    """Take variables from a file, if there is one; those of the environment itself win.

    Raises:
        ImproperlyConfigured: when it is no such file, or would switch production to DEBUG.
    """
    try:
        found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ImproperlyConfigured(
            f"The file {path} cannot be read as text in UTF-8; make one with cp .env.example .env"
        ) from None
    for name, value in found.items():
        if value is None or not name.isprintable():
            raise ImproperlyConfigured(
                f"The file {path} has {name!r} where NAME=value belongs, for example DEBUG=1"
            )
    # What a project has in production. Such an environment and this file are not meant together.
    given = [name for name in ("SECRET_KEY", "ALLOWED_HOSTS") if os.environ.get(name)]
    if given and "DEBUG" not in os.environ and (found.get("DEBUG") or "").lower() in YES:
        raise ImproperlyConfigured(
            f"The file {path} sets DEBUG, while the environment sets {given[0]} as in production;"
            " delete the file, or set DEBUG in the environment too, for example DEBUG=0"
        )
    for name, value in found.items():
        os.environ.setdefault(name, value or "")


def read[T](name: str, kind: Callable[[str], T], default: T | None, example: str) -> T:
    """Return a variable of the environment, or the default when it is not set or empty.

    Raises:
        ImproperlyConfigured: when it is not of this kind, or has neither a value nor a default.
    """
    given = os.environ.get(name, "").strip()
    try:
        found = kind(given) if given else default
    except ValueError as error:
        raise ImproperlyConfigured(
            f"The environment variable {name} {error}; write for example {name}={example}"
        ) from None
    if found is None:
        raise ImproperlyConfigured(
            f"The environment variable {name} is not set. In production set it,"
            f" for example {name}={example}; for development, cp .env.example .env."
        )
    return found


def flag(given: str) -> bool:
    """Read yes or no."""
    if given.lower() not in (*YES, *NO):
        raise ValueError(f"is {given!r}, which is neither yes (1) nor no (0)")
    return given.lower() in YES


def number(given: str, least: int = 0) -> int:
    """Read a whole number."""
    if not re.fullmatch("[0-9]{1,9}", given):
        raise ValueError(f"is {given!r}, which is no whole number from {least} to 999999999")
    if int(given) < least:
        raise ValueError(f"is {given!r}, where {least} is the least")
    return int(given)


positive: Final = partial(number, least=1)


def one_of(*words: str) -> Callable[[str], str]:
    """Make a kind that reads one of these words, in capitals or not."""

    def word(given: str) -> str:
        for each in words:
            if each.lower() == given.lower():
                return each
        raise ValueError(f"is {given!r}, which is none of {', '.join(words)}")

    return word


def _list(what: str, pattern: str, given: str) -> list[str]:
    found = [part.strip() for part in given.split(",") if part.strip()]
    for part in found:
        if not re.fullmatch(pattern, part):
            raise ValueError(f"has {part!r}, which is no {what}")
    return found


hosts: Final = partial(_list, "name of a host", rf"\*|\.?({HOST})")
origins: Final = partial(
    _list, "origin, a scheme and a host", rf"https?://(\*\.)?({HOST})(:[0-9]+)?"
)


def address(given: str) -> str:
    """Read an address of mail, with a name before it or not."""
    if not given.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s]+", parseaddr(given)[1]):
        raise ValueError(f"is {given!r}, which is no address of mail")
    return given


def secret_key(given: str) -> str:
    """Read a key that nobody else knows."""
    if given.startswith("django-insecure-"):
        raise ValueError("holds the key for development, which everybody knows")
    if given.startswith("$("):
        raise ValueError("holds a command in place of what the command prints")
    return given


def database(given: str) -> dict[str, Any]:
    """Read the URL of a database, as an entry of ``DATABASES``."""
    if file := re.fullmatch(r"sqlite://(:memory:|/[^\s?#]+)", given):
        name = unquote(file[1].removeprefix("/"))
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
    url = re.fullmatch(r"postgres(?:ql)?(://(?!.*[/?].*@)[^\s#]*)", given)
    if not url:
        raise ValueError(NO_URL)
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:  # PostgreSQL's own library knows sockets, several hosts and every option
        options: dict[str, Any] = dict(conninfo_to_dict(f"postgresql{url[1]}"))
    except ProgrammingError:
        raise ValueError(
            "has a part that PostgreSQL does not know, perhaps after the ?; settings of Django"
            " belong into config/settings.py"
        ) from None
    parts = ("dbname", "user", "password", "host", "port")
    name, user, password, host, port = (options.pop(part, "") for part in parts)
    if not (name or "service" in options) or not re.fullmatch("[0-9,]*", port):
        raise ValueError(NO_URL)
    entry = {"ENGINE": "django.db.backends.postgresql", "NAME": name, "OPTIONS": options}
    return entry | {"USER": user, "PASSWORD": password, "HOST": host, "PORT": port}


def mailer(given: str) -> dict[str, Any]:
    """Read the URL of what sends mail, as an entry of ``MAILERS``."""
    if given in NO_SERVER:
        return {"BACKEND": NO_SERVER[given], "OPTIONS": {}}
    if folder := re.fullmatch(r"filemail:///+([^\s?#]+)", given):
        options: dict[str, Any] = {"file_path": url2pathname(f"/{folder[1]}")}
        return {"BACKEND": "django.core.mail.backends.filebased.EmailBackend", "OPTIONS": options}
    url = SERVER.fullmatch(given)
    if not url or not 0 < int(url["port"] or 1) < 65536:
        raise ValueError(f"{NO_URL}; smtp+tls:// or smtps:// encrypts mail, not a part after a ?")
    options = {
        "host": url["host"].strip("[]"),
        "port": int(url["port"] or PORTS[url["scheme"]]),
        "username": unquote(url["username"] or ""),
        "password": unquote(url["password"] or ""),
        "use_tls": url["scheme"] == "smtp+tls",
        "use_ssl": url["scheme"] in ("smtps", "smtp+ssl"),
        # A mail server that does not answer must not hold a request for minutes.
        "timeout": 10,
    }
    return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}
