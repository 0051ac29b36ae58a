"""Lines of commands: whether what they run, and what they tell it, exists."""

import re
import shlex
from collections.abc import Callable, Iterator

from tests.checks.findings import Findings, Place, looks_like_a_path

# Programs that the reader's machine or the code host has; what they are told is checked
# where it concerns the project.
ELSEWHERE = {
    "createdb", "curl", "docker", "export", "git", "journalctl", "kill", "mkdir", "openssl", "pipx",
    "pg_dump", "pg_restore", "psql", "rabbitmqctl", "redis-cli", "source", "sudo", "systemctl", "uvx", "wc",
}  # fmt: skip


def command_lines(text: str) -> Iterator[str]:
    """Split a script into commands: continued lines joined, prompts taken off."""
    for line in text.replace("\\\n", " ").splitlines():
        command = line.strip().removeprefix("$ ")
        if command and not command.startswith("#"):
            yield command


def command(findings: Findings, place: Place, line: str) -> None:
    """Check a line of commands."""
    words = shlex.split(line, comments=True)
    for part in _split(words, {"&&", "||", "|", ";"}):
        while part and (found := re.fullmatch(r"([A-Z][A-Z0-9_]*)=.*", part[0])):
            findings.variable(place, found[1], or_setting=True)
            part = part[1:]
        if part:
            _program(findings, place, part)


def _program(findings: Findings, place: Place, words: list[str]) -> None:
    """Check one program and what it is told."""
    name, *arguments = words
    name = name.removeprefix("./").removeprefix(".venv/bin/")
    if name in PROGRAMS:
        PROGRAMS[name](findings, place, arguments)
    elif name not in ELSEWHERE:
        findings.fault(place, f"runs {name}, which the tests do not know: {' '.join(words)}")
    for word in arguments:
        if found := re.match(r"https?://(?:127\.0\.0\.1|localhost)(?::\d+)?(/.*)?$", word):
            findings.ask(place, "url", found[1] or "/")


def _uv(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check ``uv sync`` and ``uv run``, the groups they name and the program they run."""
    verb, *rest = arguments
    while rest and rest[0].startswith("-"):
        option, *rest = rest
        option, _, value = option.partition("=")
        if option in ("--group", "--only-group", "--no-group"):
            group, *rest = [value, *rest] if value else rest
            if group not in findings.project.pyproject["dependency-groups"]:
                findings.fault(place, f"names the dependency group {group}, which does not exist")
    if verb == "run" and rest:
        installed = findings.project.environment.program(rest[0])
        if not rest[0].endswith(".py") and not installed.exists():
            findings.fault(place, f"runs {rest[0]}, which no package of the project brings")
        _program(findings, place, rest)
    elif verb not in ("run", "sync", "add", "lock", "remove", "export"):
        findings.fault(place, f"runs uv {verb}, which the tests do not know")


def _python(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check the script that Python runs."""
    if not arguments:
        return
    if arguments[:2] == ["-m", "sqlite3"]:
        return
    if arguments[0] == "-m":
        _program(findings, place, arguments[1:])
    elif arguments[0] == "manage.py":
        _manage(findings, place, arguments[1:])
    else:
        findings.path(place, arguments[0], "runs")


def _manage(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check a management command, its verb if it has some, and its options."""
    findings.path(place, "manage.py", "runs")
    if arguments:
        options = [word.partition("=")[0] for word in arguments[1:] if word.startswith("-")]
        verb = [word for word in arguments[1:2] if not word.startswith("-")]
        findings.ask(place, "command", arguments[0], *verb, *options)


def _tool(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check the paths that a tool is told to look at."""
    for word in arguments:
        path = word.partition("::")[0]
        if looks_like_a_path(path):
            findings.path(place, path)


def _celery(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check the application that Celery is told to load, its command and the options of that."""
    application, words = "", list(arguments)
    while words and words[0].startswith("-"):
        option, *words = words
        if option in ("-A", "--app") and words:
            application, *words = words
    findings.ask(place, "object", application.replace(":", "."))
    options = [word.partition("=")[0] for word in words[1:] if word.startswith("-")]
    findings.ask(place, "celery", words[0] if words else "", *options)


def _copy(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check that what is copied, or gone into, exists."""
    for word in arguments:
        if word.rstrip("/") != findings.project.path.name:
            findings.path(place, word)


def _make(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check the targets of make."""
    text = findings.project.read("Makefile") if "Makefile" in findings.project.files else ""
    for word in arguments:
        if "=" not in word and not re.search(rf"^{re.escape(word)}\s*:", text, re.MULTILINE):
            findings.fault(place, f"names the target {word} of make, which does not exist")


def _pre_commit(findings: Findings, place: Place, arguments: list[str]) -> None:
    """Check the hook that pre-commit is told to run."""
    hooks = {hook["id"] for hook in findings.project.hooks()}
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["run"] and not hooks.issuperset(words[1:]):
        findings.fault(place, f"runs the hook {words[1]}, which does not exist")


PROGRAMS: dict[str, Callable[[Findings, Place, list[str]], None]] = {
    "celery": _celery,
    "cd": _copy,
    "cp": _copy,
    "gunicorn": _tool,
    "ls": _tool,
    "make": _make,
    "manage.py": _manage,
    "mypy": _tool,
    "pre-commit": _pre_commit,
    "pytest": _tool,
    "python": _python,
    "ruff": _tool,
    "uv": _uv,
}


def is_command(text: str) -> bool:
    """Say whether a piece of text is a line of commands with something to check."""
    words = text.split()
    return len(words) > 1 and words[0] in {*PROGRAMS, *ELSEWHERE}


def _split(words: list[str], marks: set[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in marks:
            yield part
            part = []
        else:
            part.append(word)
    yield part
