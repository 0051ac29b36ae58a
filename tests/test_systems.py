"""Names, line endings, encodings and modules of Python are right on Windows and macOS too."""

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.checks.findings import Place
from tests.support.bakery import Bakery
from tests.support.releases import Workplace
from tests.support.template import CACHE_FOLDERS, ROOT, TEMPLATE

# Windows takes these names for devices, with any suffix.
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{name}{n}" for name in ("com", "lpt") for n in "0123456789"),
}
# Python has them on Linux and macOS only.
POSIX_MODULES = {
    "crypt",
    "fcntl",
    "grp",
    "posix",
    "pty",
    "pwd",
    "resource",
    "syslog",
    "termios",
    "tty",
}
POSIX_NAMES = {
    "os": {
        "chown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid", "getuid", "killpg",
        "mkfifo", "setsid", "setuid", "symlink", "uname", "wait3", "wait4",
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm"},
    "socket": {"AF_UNIX"},
}  # fmt: skip
# A path in Windows has 260 characters at most, of which somebody's own folder takes a part.
LONGEST_PATH = 150

OURS = ("hooks", "scripts", "django_signals_extensions.py", "django_signals_rules.py")
# It records a session in a terminal, which Windows does not have; the repository's maintainers run it.
ELSEWHERE = {"draw_prompt_session.py"}
# Celery's worker does not support Windows, and these tests start and kill it.
WITHOUT_WINDOWS = {"apps/handoff/tests/"}


def repository_files() -> list[str]:
    """List what is under version control, or would be, relative to the repository."""
    skipped = CACHE_FOLDERS | {".git", ".venv", ".tools", ".cache", "projects", "uv.lock"}
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if (path.is_file() or path.is_symlink()) and not skipped & set(path.relative_to(ROOT).parts)
    )


FILES = repository_files()


def name_faults(files: list[str]) -> list[str]:
    """Say which names a system refuses, or takes for the same as another."""
    faults = []
    for file in files:
        for part in PurePosixPath(file).parts:
            if part.partition(".")[0].lower() in DEVICES:
                faults.append(f"{file}: {part} is a device of Windows")
            if re.search(r'[<>:"\\|?*\x00-\x1f]', part) or part[-1] in ". ":
                faults.append(f"{file}: Windows refuses {part}")
    every = {str(parent) for file in files for parent in PurePosixPath(file).parents} | set(files)
    folded = Counter(path.casefold() for path in every)
    return faults + [
        f"{path} differs from another by case only" for path, n in folded.items() if n > 1
    ]


def test_every_name_can_be_checked_out_everywhere() -> None:
    assert name_faults(FILES) == []


@pytest.mark.parametrize(
    "files",
    [["docs/con.md"], ["a:b"], ["folder./x"], ["x "], ["Docs/a.md", "docs/b.md"], ["A.md", "a.md"]],
)
def test_a_name_that_cannot_is_noticed(files: list[str]) -> None:
    assert name_faults(files)


def test_no_path_is_too_long(bakery: Bakery) -> None:
    """With the longest name that a project may have, too."""
    slug = "x" * 40
    project = bakery.project(TEMPLATE.all_on())
    assert {file for file in project.files if len(f"{slug}/{file}") > LONGEST_PATH} == set()
    assert {file for file in FILES if len(file) > LONGEST_PATH} == set()


def test_nothing_is_a_link() -> None:
    assert [file for file in FILES if (ROOT / file).is_symlink()] == []


def test_text_is_utf_8_and_its_lines_end_as_on_linux() -> None:
    texts = [file for file in FILES if not file.endswith(".png")]
    found = [file for file in texts if b"\r" in (ROOT / file).read_bytes()]
    assert found == []
    for file in texts:
        (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["repository", "project"])
def test_git_on_windows_leaves_the_line_endings_alone(
    bakery: Bakery, tmp_path: Path, which: str
) -> None:
    """A clone with ``core.autocrlf``, as Git for Windows sets it, is the same byte for byte."""
    if which == "repository":
        source, files = ROOT, FILES
    else:
        project = bakery.project(TEMPLATE.all_on())
        source, files = project.path, sorted(project.files)
    (tmp_path / "origin").mkdir()
    for file in files:
        target = tmp_path / "origin" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / file).read_bytes())
    workplace = Workplace(tmp_path)
    workplace.commit(tmp_path / "origin")
    workplace.git(
        "clone", "--quiet", "-c", "core.autocrlf=true", "origin", "clone", folder=tmp_path
    )
    differ = [
        file
        for file in files
        if (tmp_path / "clone" / file).read_bytes() != (source / file).read_bytes()
    ]
    assert differ == []


def python_files() -> list[Path]:
    """List the Python that a user's machine runs: the hooks, the scripts, the project."""
    ours = [ROOT / name for name in OURS]
    found = [file for path in ours for file in ([path] if path.is_file() else path.glob("*.py"))]
    found += [TEMPLATE.source / file for file in TEMPLATE.files() if file.endswith(".py")]
    return sorted(path for path in found if path.name not in ELSEWHERE)


def posix_only(source: str, place: str) -> Iterator[str]:
    """Yield what a piece of Python uses that Windows does not have.

    A use in a ``try`` or below a question for ``os.name``, ``sys.platform`` or ``hasattr`` has
    a fallback.
    """
    tree = ast.parse(source)
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        or (
            isinstance(node, ast.If)
            and re.search(r"os\.name|sys\.platform|hasattr", ast.unparse(node.test))
        )
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases if alias.name in POSIX_MODULES]
            case ast.ImportFrom(module=str(module)) if module in POSIX_MODULES:
                names = [module]
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                names = [f"{owner}.{name}"] if name in POSIX_NAMES.get(owner, ()) else []
        if id(node) not in guarded:
            for name in names:
                yield f"{Place(place, getattr(node, 'lineno', 0))}: {name} is not on Windows"


def without_encoding(source: str, place: str) -> Iterator[str]:
    """Yield where text is read or written in whatever encoding the machine prefers."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        given = {keyword.arg for keyword in node.keywords}
        mode = "".join(
            str(argument.value)
            for argument in [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
            if isinstance(argument, ast.Constant)
            and re.fullmatch(r"[rwax+bt]{1,3}", str(argument.value))
        )
        opens_a_file = isinstance(node.func, ast.Name) or bool(mode)
        if (
            (name == "read_text" and not node.args)
            or (name == "write_text" and len(node.args) < 2)
            or (name == "open" and opens_a_file and "b" not in mode)
        ) and "encoding" not in given:
            yield f"{Place(place, node.lineno)}: {name} without encoding"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_runs_on_every_system(path: Path) -> None:
    source, place = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    faults = (
        [] if any(folder in place for folder in WITHOUT_WINDOWS) else [*posix_only(source, place)]
    )
    assert [*faults, *without_encoding(source, place)] == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import fcntl", "fcntl"),
        ("from pwd import getpwnam", "pwd"),
        ("import os\nos.fork()", "os.fork"),
        ("import signal\nsignal.SIGKILL", "signal.SIGKILL"),
        ("open('x')", "open without"),
        ("path.open('w')", "open without"),
        ("path.read_text()", "read_text without"),
        ("path.write_text('x')", "write_text without"),
    ],
)
def test_python_that_does_not_is_noticed(source: str, says: str) -> None:
    (fault,) = [*posix_only(source, "x"), *without_encoding(source, "x")]
    assert says in fault


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import fcntl\nexcept ImportError:\n    fcntl = None",
        "import os\nif os.name != 'nt':\n    os.fork()",
        "open('x', 'rb')",
        "attachment.open()",
        "open('x', encoding='utf-8')",
    ],
)
def test_python_that_does_is_let_pass(source: str) -> None:
    assert [*posix_only(source, "x"), *without_encoding(source, "x")] == []


def test_no_project_needs_a_shell_script(bakery: Bakery) -> None:
    """A project has none; the repository has those of its CI."""
    project = bakery.project(TEMPLATE.all_on())
    scripts = [
        file for file, text in project.texts().items() if re.match(r"#!.*\b(ba|z|k)?sh\b", text)
    ]
    assert scripts == []
    assert {file for file in FILES if file.endswith((".sh", ".bash"))} == set()


def test_the_closing_message_speaks_to_the_system_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from hooks import post_gen_project

    answers = {"_modules": {}, "project_name": "Ledger"}
    assert "cp .env.example .env" in post_gen_project.closing_message(answers)
    monkeypatch.setattr(os, "name", "nt")
    assert "copy .env.example .env" in post_gen_project.closing_message(answers)


def test_the_files_of_a_project_are_as_its_editors_are_told(bakery: Bakery) -> None:
    """Otherwise each edit would change further lines."""
    project = bakery.project(TEMPLATE.all_on())
    rules = project.read(".editorconfig")
    assert "insert_final_newline = true" in rules
    assert "trim_trailing_whitespace = true" in rules
    assert "indent_style = space" in rules
    faults = [
        file
        for file, text in project.texts().items()
        if (text and not text.endswith("\n")) or "\t" in text or re.search(r"[ \r]$", text, re.M)
    ]
    assert [file for file in faults if not file.endswith(".txt")] == []
