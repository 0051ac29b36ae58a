"""Asks a project's own Python all its questions in one process: see support/driver.py."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

from tests.checks.reader import Reader
from tests.support.driven import Command, run_all
from tests.support.once import once
from tests.support.project import BakedProject, faults_in

# As the .env of a developer has it.
DEVELOPMENT: Final = {"DEBUG": "1"}
PRODUCTION: Final = {
    "DEBUG": "",
    "SECRET_KEY": "a-key-for-the-tests-of-the-template-which-is-long-enough-0123456789",
    "ALLOWED_HOSTS": "www.example.com",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
}


def results(project: BakedProject, check: str) -> list[CompletedProcess[str]]:
    """Return how the commands of a check ended.

    A project that never changes is asked once for all checks, also those of other processes.
    """
    if project.kept is None:
        return run_all(project, COMMANDS[check](project))
    file = once(project.kept / "inside.json", lambda to: _ask_everything(project, to))
    kept = json.loads(file.read_text(encoding="utf-8"))
    return [CompletedProcess(**each) for each in kept[check]]


def faults(project: BakedProject, check: str) -> list[str]:
    """Return what the commands of a check said that failed, as somebody at a terminal reads it."""
    return [fault for done in results(project, check) for fault in faults_in(done.args, done)]


def _ask_everything(project: BakedProject, file: Path) -> None:
    commands = [(check, each) for check in COMMANDS for each in COMMANDS[check](project)]
    found: dict[str, list[dict[str, object]]] = {check: [] for check in COMMANDS}
    done = run_all(project, [command for _, command in commands])
    for (check, _), each in zip(commands, done, strict=True):
        found[check].append(vars(each))
    file.write_text(json.dumps(found), encoding="utf-8")


def _django_check(_: BakedProject) -> list[Command]:
    return [Command(("manage.py", "check", "--fail-level=WARNING"))]


def _missing_migrations(_: BakedProject) -> list[Command]:
    return [Command(("manage.py", "makemigrations", "--check", "--dry-run"))]


def _own_checks(project: BakedProject) -> list[Command]:
    registry = project.template.registry
    return [
        Command(tuple(check["command"].split()), variables)
        for module in project.combination.modules
        for check in registry[module].get("checks", [])
        for variables in (DEVELOPMENT, PRODUCTION)
    ]


def _deployment(_: BakedProject) -> list[Command]:
    return [Command(("manage.py", "check", "--deploy", "--fail-level=WARNING"), PRODUCTION)]


def _dangling(project: BakedProject) -> list[Command]:
    return [Command(Reader(project).read().command())]


# Name of a check to the commands that it runs.
COMMANDS: Final[dict[str, Callable[[BakedProject], list[Command]]]] = {
    "django_check": _django_check,
    "missing_migrations": _missing_migrations,
    "own_checks": _own_checks,
    "deployment": _deployment,
    "dangling": _dangling,
}
