"""Reads the environment: each variable is understood, or refused in one sentence.

A kind is a function that turns a text into a value, or raises a ValueError that says why it cannot.
An empty variable counts as not set, because Compose and CI systems pass such variables on.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote
from urllib.request import url2pathname

from django.core.exceptions import ImproperlyConfigured
from dotenv.parser import parse_stream

YES: Final = ("1", "true", "yes", "on", "y", "t")
NO: Final = ("0", "false", "no", "off", "n", "f")
HOST: Final = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]"
CONTROLS: Final = r"\x00-\x1f\x7f-\xa0\u2028\u2029"
# Mail would drop a part of a name with any of these signs, unless it is in quotes.
SIGNS: Final = rf'@:;,<>()\[\]"{CONTROLS}'
BOX: Final = rf"[^ {SIGNS}]+@[\w-]+(\.[\w-]+)*"
# The message does not repeat the URL, because any part of a wrong URL may be a password.
UNKNOWN_URL: Final = (
    "is no URL that this project knows (in a password write / as %2F, @ as %40, # as %23 and so on)"
)
# A name or password may contain an @, because many providers use addresses as names.
SERVER: Final = re.compile(
    r"(?P<scheme>smtp|smtps|smtp\+tls|smtp\+ssl)://"
    r"((?P<username>[^\s:/?#]+):(?P<password>[^\s/?#]+)@)?"
    r"(?P<host>[^\s@:/?#%,\[\]]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?"
)
PORTS: Final = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465, "smtps": 465}
WITHOUT_SERVER: Final = {
    "consolemail://": "apps.core.mail.ReadableConsoleBackend",
    "memorymail://": "django.core.mail.backends.locmem.EmailBackend",
    "dummymail://": "django.core.mail.backends.dummy.EmailBackend",
}


def load(path: Path) -> None:
    """Add the variables of a file, if it exists, to the environment, and replace none there.

    Raises:
        ImproperlyConfigured: when the file cannot be read, or would turn DEBUG on in production.
    """
    found: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        for name, value, original, is_wrong in parse_stream(StringIO(text)):
            has_value = value is not None or name is None  # a comment has neither
            if is_wrong or not has_value or not f"{name}".isprintable() or "\0" in original.string:
                raise ValueError(f"see from line {original.line} on")
            if name:
                found[name] = value or ""
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(
            f"The file {path} has other text than lines of NAME=value in UTF-8 ({error}); make one"
            " with cp .env.example .env"
        ) from None
    # Production sets these in the environment. Then the file is left over from development.
    given = [name for name in ("SECRET_KEY", "ALLOWED_HOSTS") if os.environ.get(name)]
    if given and "DEBUG" not in os.environ and found.get("DEBUG", "").strip().lower() in YES:
        raise ImproperlyConfigured(
            f"The file {path} sets DEBUG, but the environment sets {given[0]} as in production;"
            " delete the file, or set DEBUG in the environment, for example DEBUG=0"
        )
    os.environ.update(found | dict(os.environ))


def read[T](name: str, kind: Callable[[str], T], default: T | None, example: str) -> T:
    """Return a variable of the environment, or the default when it is not set or empty.

    Raises:
        ImproperlyConfigured: when its kind refuses it, or there is neither a value nor a default.
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
            f"The environment variable {name} is not set; in production write for example"
            f" {name}={example}, in development run cp .env.example .env"
        )
    return found


def flag(given: str) -> bool:
    """Read yes or no."""
    if given.lower() not in (*YES, *NO):
        raise ValueError(f"is {given!r}, which is neither yes (1) nor no (0)")
    return given.lower() in YES


def number(given: str, least: int = 0, most: int = 999_999_999) -> int:
    """Read a whole number."""
    if not re.fullmatch("[0-9]{1,9}", given) or not least <= int(given) <= most:
        raise ValueError(f"is {given!r}, which is no whole number from {least} to {most}")
    return int(given)


positive: Final = partial(number, least=1)
port: Final = partial(number, least=1, most=65535)


def one_of(*words: str) -> Callable[[str], str]:
    """Return a kind that accepts one of these words, in upper or lower case."""

    def word(given: str) -> str:
        for each in words:
            if each.lower() == given.lower():
                return each
        raise ValueError(f"is {given!r}, but must be one of {', '.join(words)}")

    return word


def _one(what: str, pattern: str, given: str) -> str:
    if not re.fullmatch(pattern, given):
        raise ValueError(f"has {given!r}, which is no {what}")
    return given


def _list(what: str, pattern: str, given: str) -> list[str]:
    found = [_one(what, pattern, part.strip()) for part in given.split(",") if part.strip()]
    return found or [_one(what, pattern, given)]


host: Final = partial(_one, "host name", HOST)
hosts: Final = partial(_list, "host name", rf"\*|\.?({HOST})")
origin: Final = partial(_one, "origin", rf"https?://({HOST})(:[0-9]+)?")
origins: Final = partial(_list, "origin", rf"https?://(\*\.)?({HOST})(:[0-9]+)?")
address: Final = partial(_one, "e-mail address", rf'{BOX}|([^{SIGNS}]*|"[^"{CONTROLS}]*") ?<{BOX}>')


def secret_key(given: str) -> str:
    """Read a secret key."""
    if given.startswith("django-insecure-"):
        raise ValueError("is the key for development, which everybody knows")
    if given.startswith(("$(", "`", "${")):
        raise ValueError("is a command instead of the text that the command prints")
    return given


def database(given: str) -> dict[str, Any]:
    """Read the URL of a database, as an entry of ``DATABASES``."""
    if file := re.fullmatch(r"sqlite://(:memory:|/[^\s?#]+)", given):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": unquote(file[1].removeprefix("/"))}
    url = re.fullmatch(r"postgres(?:ql)?(://(?!.*[@/?].*@)[^\s#]*)", given)
    if not url:
        raise ValueError(UNKNOWN_URL)
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:  # PostgreSQL's library knows sockets, several hosts and every option
        options: dict[str, Any] = dict(conninfo_to_dict(f"postgresql{url[1]}"))
    except ProgrammingError:
        raise ValueError(
            "has a part that PostgreSQL does not know, perhaps after the ?; write settings of"
            " Django into config/settings.py"
        ) from None
    parts = ("dbname", "user", "password", "host", "port")
    name, user, password, host, port = (options.pop(part, "") for part in parts)
    if not (name or "service" in options) or not re.fullmatch("[0-9,]*", port):
        raise ValueError(UNKNOWN_URL)
    entry = {"ENGINE": "django.db.backends.postgresql", "NAME": name, "OPTIONS": options}
    return entry | {"USER": user, "PASSWORD": password, "HOST": host, "PORT": port}


def mailer(given: str) -> dict[str, Any]:
    """Read the URL of a mail server or another backend, as an entry of ``MAILERS``."""
    if given in WITHOUT_SERVER:
        return {"BACKEND": WITHOUT_SERVER[given], "OPTIONS": {}}
    if folder := re.fullmatch(r"filemail:///+([^\s?#]+)", given):
        options: dict[str, Any] = {"file_path": url2pathname(f"/{folder[1]}")}
        return {"BACKEND": "django.core.mail.backends.filebased.EmailBackend", "OPTIONS": options}
    url = SERVER.fullmatch(given)
    if not url or not 0 < int(url["port"] or 1) < 65536:
        raise ValueError(f"{UNKNOWN_URL}; to encrypt mail use smtp+tls:// or smtps:// and no ?")
    options = {
        "host": url["host"].strip("[]"),
        "port": int(url["port"] or PORTS[url["scheme"]]),
        "username": unquote(url["username"] or ""),
        "password": unquote(url["password"] or ""),
        "use_tls": url["scheme"] == "smtp+tls",
        "use_ssl": url["scheme"] in ("smtps", "smtp+ssl"),
        # A silent mail server must not block a job or request for minutes.
        "timeout": 10,
    }
    return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}
