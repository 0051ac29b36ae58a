"""One reader for the environment: a variable means what it says, or one sentence refuses it.

``read`` and ``required`` take a kind: a function that makes a value of the text. A kind raises a
ValueError that says what was given and why that is wrong. An empty variable counts as not set,
because Compose and CI systems pass such variables on.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit
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
SMTP: Final = ("smtp", "smtps", "smtp+ssl", "smtp+tls")
MAIL: Final = {
    "consolemail": "apps.core.mail.ReadableConsoleBackend",
    "memorymail": "django.core.mail.backends.locmem.EmailBackend",
    "dummymail": "django.core.mail.backends.dummy.EmailBackend",
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


def read[T](name: str, kind: Callable[[str], T], default: T, example: str) -> T:
    """Return a variable of the environment, or the default when it is not set or empty.

    Raises:
        ImproperlyConfigured: when it is not of this kind.
    """
    given = os.environ.get(name, "").strip()
    try:
        return kind(given) if given else default
    except ValueError as error:
        raise ImproperlyConfigured(
            f"The environment variable {name} {error}; write for example {name}={example}"
        ) from None


def required[T](name: str, kind: Callable[[str], T], example: str) -> T:
    """Return a variable of the environment that production must set.

    Raises:
        ImproperlyConfigured: when it is missing, empty or not of this kind.
    """
    if (found := read(name, kind, None, example)) is None:
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


def number(given: str) -> int:
    """Read a whole number."""
    if not re.fullmatch("[0-9]{1,9}", given):
        raise ValueError(f"is {given!r}, which is no whole number from 0 to 999999999")
    return int(given)


def positive(given: str) -> int:
    """Read a whole number that is not 0."""
    if not (found := number(given)):
        raise ValueError(f"is {given!r}, where 1 is the least")
    return found


def one_of(*words: str) -> Callable[[str], str]:
    """Make a kind that reads one of these words, in capitals or not."""

    def word(given: str) -> str:
        for each in words:
            if each.lower() == given.lower():
                return each
        raise ValueError(f"is {given!r}, which is none of {', '.join(words)}")

    return word


def list_of(what: str, pattern: str) -> Callable[[str], list[str]]:
    """Make a kind that reads what is between commas, where each part matches the pattern."""

    def parts(given: str) -> list[str]:
        found = [part.strip() for part in given.split(",") if part.strip()]
        for part in found:
            if not re.fullmatch(pattern, part):
                raise ValueError(f"has {part!r}, which is no {what}")
        return found

    return parts


hosts: Final = list_of("name of a host", rf"\*|\.?({HOST})")
origins: Final = list_of("origin, a scheme and a host", rf"https?://(\*\.)?({HOST})(:[0-9]+)?")


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
    url, query = _taken_apart(given, ("sqlite", "postgres", "postgresql"))
    if url.scheme == "sqlite":
        file = unquote(url.path[1:]) or url.netloc
        if not file or url.netloc not in ("", ":memory:"):
            raise ValueError(NO_URL)
        options = _options(query, {"timeout": number})
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": options}
    own = {"conn_max_age": number, "pool": flag, "disable_server_side_cursors": flag}
    entry = _options({name: query.pop(name) for name in own if name in query}, own)
    options = _parts_for_postgresql(url, query)
    if entry.pop("pool", False):
        options["pool"] = True
        entry["conn_max_age"] = 0  # it is the pool that keeps connections
    parts = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    return (
        {"ENGINE": "django.db.backends.postgresql", "PORT": options.pop("port", "")}
        | {key: options.pop(part, "") for key, part in parts.items()}
        | {name.upper(): value for name, value in entry.items()}
        | {"OPTIONS": options}
    )


def mailer(given: str) -> dict[str, Any]:
    """Read the URL of what sends mail, as an entry of ``MAILERS``."""
    url, query = _taken_apart(given, (*SMTP, *MAIL, "filemail"))
    if url.scheme in SMTP:
        options = _parts_for_smtp(url, query)
        return {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}
    path = url.path.strip("/")
    if url.netloc or query or bool(path) != (url.scheme == "filemail"):
        raise ValueError(NO_URL)
    if url.scheme == "filemail":
        backend = "django.core.mail.backends.filebased.EmailBackend"
        return {"BACKEND": backend, "OPTIONS": {"file_path": url2pathname(f"/{path}")}}
    return {"BACKEND": MAIL[url.scheme]}


def _taken_apart(given: str, schemes: Collection[str]) -> tuple[SplitResult, dict[str, str]]:
    known = given.partition("://")[0].lower() in schemes
    if not known or re.search(r"[\s\x00-\x1f#]|[/?].*@", given.partition("://")[2]):
        raise ValueError(NO_URL)
    try:
        url = urlsplit(given)
        return url, dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
    except ValueError:
        raise ValueError(NO_URL) from None


def _options(query: Mapping[str, str], kinds: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Read the parts after the ? of a URL; each has a kind, or is refused."""
    found = {}
    for name, value in query.items():
        if name not in kinds:
            raise ValueError(f"has {name}= after the ?, where only {', '.join(kinds)} are known")
        try:
            found[name] = kinds[name](value)
        except ValueError as error:
            raise ValueError(f"has {name}= after the ?, which {error}") from None
    return found


def _parts_for_postgresql(url: SplitResult, query: Mapping[str, str]) -> dict[str, Any]:
    """Let PostgreSQL's own library read a URL: sockets, several hosts and every option."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    rest = urlencode(query, quote_via=quote)
    try:
        found: dict[str, Any] = dict(
            conninfo_to_dict(f"postgresql://{url.netloc}{url.path}{'?' if rest else ''}{rest}")
        )
    except ProgrammingError:
        raise ValueError(
            f"has a part that PostgreSQL does not know (after the ? are {', '.join(query) or 'none'})"
        ) from None
    nameless = not found.get("dbname") and "service" not in found
    if nameless or not re.fullmatch(r"[0-9,]*", found.get("port", "")):
        raise ValueError(NO_URL)
    return found


def _parts_for_smtp(url: SplitResult, query: Mapping[str, str]) -> dict[str, Any]:
    found = _options(query, {"tls": flag, "ssl": flag, "timeout": number})
    ssl = url.scheme in ("smtps", "smtp+ssl") or found.get("ssl", False)
    tls = url.scheme == "smtp+tls" or found.get("tls", False)
    if ssl and tls:
        raise ValueError("asks for TLS twice: smtps begins with it, smtp+tls turns to it later")
    try:
        port = url.port or (465 if ssl else 587 if tls else 25)
    except ValueError:
        raise ValueError(NO_URL) from None
    if not url.hostname or url.path.strip("/"):
        raise ValueError(NO_URL)
    return {
        "host": unquote(url.hostname),
        "port": port,
        "username": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "use_tls": tls,
        "use_ssl": ssl,
        # A mail server that does not answer must not hold a request for minutes.
        "timeout": found.get("timeout", 10),
    }
