"""The rules that answers to the prompts have to keep.

The prompts (through ``django_signals_extensions``), the ``pre_gen_project`` hook and the tests
import this file. It uses the standard library only, and runs on Python 3.10 and later.
"""

from __future__ import annotations

import functools
import json
import keyword
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing them would cost more time than the rest of the hook
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

# Package indexes treat names as equal that differ in the number of _ only. None ends with a _.
SLUG: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
# Addresses that Django accepts, except quoted local parts and numbers as domains. A last label in
# other letters starts with xn--.
_ATOM: Final = r"[A-Za-z0-9_%+'-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL: Final = re.compile(
    rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?:[A-Za-z]{{2,63}}|xn--[a-z0-9]{{1,59}})"
)
SLUG_LIMIT: Final = 40
TEXT_LIMIT: Final = 200
EMAIL_LIMIT: Final = 254

# Jinja would render these again whenever the answers are used for an update.
JINJA_MARKS: Final = ("{{", "}}", "{%", "%}", "{#", "#}")
LINE_STATEMENT: Final = "# %"

# Names that a folder cannot have on Windows.
DEVICE: Final = re.compile(r"aux|con|nul|prn|(?:com|lpt)[0-9]")

# Folders of the generated project, and packages that every project installs: a project of the
# same name would shadow them, and uv refuses a project that depends on its own name. The packages
# of the modules are in the registry.
RESERVED: Final = frozenset(
    {
        "apps",
        "asgiref",
        "ast_serialize",
        "cfgv",
        "colorama",
        "config",
        "conftest",
        "distlib",
        "django",
        "django_environ",
        "django_stubs",
        "django_stubs_ext",
        "docs",
        "environ",
        "filelock",
        "gunicorn",
        "identify",
        "iniconfig",
        "librt",
        "manage",
        "mypy",
        "mypy_extensions",
        "nodeenv",
        "packaging",
        "pathspec",
        "platformdirs",
        "pluggy",
        "pre_commit",
        "psycopg",
        "psycopg_binary",
        "pygments",
        "pytest",
        "pytest_django",
        "pytest_env",
        "python_discovery",
        "python_dotenv",
        "python_json_logger",
        "pythonjsonlogger",
        "pyyaml",
        "ruff",
        "sqlparse",
        "test",
        "tests",
        "types_pyyaml",
        "typing_extensions",
        "tzdata",
        "uv",
        "var",
        "virtualenv",
        "whitenoise",
    }
)

TEXTS: Final = {
    "project_name": "My Project",
    "description": "A Django project in which signals are done right.",
    "author_name": "Ada Lovelace",
}


def is_reserved(slug: str) -> bool:
    """Say whether a project of this name would shadow something it needs."""
    return (
        slug in RESERVED
        or slug in packages_of_modules()
        or keyword.iskeyword(slug)
        or keyword.issoftkeyword(slug)
        or DEVICE.fullmatch(slug) is not None
        or slug in sys.stdlib_module_names
    )


@functools.cache
def settings() -> dict[str, Any]:
    """Return the prompts and the registry, which are beside this file."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cookiecutter.json")
    with open(path, encoding="utf-8") as file:
        content: dict[str, Any] = json.load(file)
    return content


def choices_of(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the prompts with a list of answers, of which one is taken."""
    return {
        name: answers
        for name, answers in settings.items()
        if isinstance(answers, list) and not name.startswith("_")
    }


@functools.cache
def packages_of_modules() -> frozenset[str]:
    """List the packages that modules bring as slugs."""
    registry = settings()["_modules"].values()
    kinds = ("dependencies", "development", "constraints")
    lines = [line for entry in registry for kind in kinds for line in entry.get(kind, [])]
    names = (re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0] for line in lines)
    return frozenset(re.sub(r"[-_.]+", "_", name).lower() for name in names)


def slug_fault(slug: str) -> str | None:
    """Say why a slug cannot be used; None when it can."""
    if len(slug) > SLUG_LIMIT or not SLUG.fullmatch(slug):
        return (
            "it has to start with a letter a-z and hold only a-z, 0-9 and single _ between them,"
            f" {SLUG_LIMIT} characters at most"
        )
    if is_reserved(slug):
        return (
            "the name is taken by Python, by a package the project needs,"
            " by a folder of the project or by Windows"
        )
    return None


def text_fault(text: str) -> str | None:
    """Say why a line of free text cannot be used; None when it can."""
    if not 1 <= len(text) <= TEXT_LIMIT:
        return f"it has to be 1 to {TEXT_LIMIT} characters long"
    if not text.isprintable():
        return "it has to be one line of printable characters"
    if text != text.strip():
        return "it must not start or end with a space"
    if has_template_marks(text):
        return "it must not hold the template marks {{ }}, {% %}, {# #} or start with '# %'"
    return None


def has_template_marks(text: str) -> bool:
    """Say whether Jinja would take a part of the text for its own."""
    lines = text.splitlines()
    return any(mark in text for mark in JINJA_MARKS) or any(
        line.lstrip().startswith(LINE_STATEMENT) for line in lines
    )


def email_fault(email: str) -> str | None:
    """Say why an e-mail address cannot be used; None when it can."""
    if len(email) > EMAIL_LIMIT or not EMAIL.fullmatch(email):
        return "it is not an e-mail address of the usual form"
    return None


def refusal(answers: Mapping[str, object], modules: Iterable[str]) -> str | None:
    """Say in one sentence why the answers cannot be used; None when they can.

    Args:
        answers: prompt name to answer; names that are not prompts are ignored.
        modules: the names of the optional modules, whose answers are booleans.
    """
    checks = [
        *((name, text_fault, example) for name, example in TEXTS.items()),
        ("project_slug", slug_fault, "my_project"),
        ("author_email", email_fault, "ada@example.com"),
    ]
    for name, fault_of, example in checks:
        answer = answers.get(name)
        fault = fault_of(answer) if isinstance(answer, str) else "it has to be text"
        if fault:
            return f"{name} {_shown(answer)} is refused: {fault}. A valid example: {example}"
    for name, choices in choices_of(settings()).items():
        if answers.get(name) not in choices:
            return (
                f"{name} {_shown(answers.get(name))} is refused: it has to be {either(choices)}."
                f" A valid example: {choices[0]}"
            )
    for name in modules:
        if not isinstance(answers.get(name), bool):
            return (
                f"{name} {_shown(answers.get(name))} is refused: it has to be"
                " yes or no. A valid example: yes"
            )
    return None


def either(answers: list[str]) -> str:
    """List answers of which one is taken, as in ``a, b or c``."""
    return f"{', '.join(answers[:-1])} or {answers[-1]}"


def usable_slug(suggestion: str) -> str:
    """Turn a slugified project name into a slug that keeps the rules."""
    slug = re.sub(r"[^a-z0-9]+", "_", suggestion.lower()).lstrip("0123456789_")
    slug = slug[:SLUG_LIMIT].rstrip("_")
    if not slug:
        return "my_project"
    if is_reserved(slug):
        return f"{slug[: SLUG_LIMIT - len('_project')].rstrip('_')}_project"
    return slug


def _shown(answer: object) -> str:
    """Quote an answer for a message: escaped, and cut when very long."""
    quoted = ascii(answer) if isinstance(answer, str) and not answer.isprintable() else repr(answer)
    return quoted if len(quoted) <= 70 else f"{quoted[:60]}…{quoted[-1]}"
