"""``make new`` and its siblings, for a person with git, make and Python only."""

import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scripts import new
from tests.support.bakery import Bakery
from tests.support.once import once
from tests.support.programs import HANGS, run
from tests.support.pythons import interpreter_of
from tests.support.repository import without_uv
from tests.support.template import PARTS, ROOT, TEMPLATE, Combination

NEEDED = (*PARTS, "Makefile", "pyproject.toml", "scripts")


class Clone:
    """A copy of the repository in a folder with a space, and a home with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.root = folder / "a clone"

    def build(self) -> None:
        """Copy the files, and install the uv of the clone, which needs no other command."""
        self.home.mkdir(parents=True)
        self.root.mkdir(parents=True)
        for name in NEEDED:
            source = ROOT / name
            ignored = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=ignored)
            else:
                shutil.copy(source, self.root / name)

        version = importlib.metadata.version("uv")
        done = self.make(f".tools/uv-{version}/bin/uv")
        assert done.returncode == 0, done.stderr

    def environment(self) -> dict[str, str]:
        """Return an environment without uv, whose downloads are kept for other runs."""
        return without_uv(self.home)

    def make(
        self, *words: str, answers: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run make in the clone, with further variables in its environment."""
        environment = self.environment() | variables
        return run(["make", *words], folder=self.root, environment=environment, answers=answers)


@pytest.fixture(scope="module")
def clone(run_folder: Path) -> Clone:
    clone = Clone(run_folder / "clone")
    once(clone.home.parent, lambda _: clone.build())
    return clone


@pytest.fixture
def port() -> int:
    """A port that no program listened to a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Servers to be stopped at the end, each with the processes it started."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for server in started:
        with suppress(ProcessLookupError):  # it has ended by itself, and its test says so
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(HANGS)


def test_the_clone_has_no_uv(clone: Clone) -> None:
    assert shutil.which("uv", path=clone.environment()["PATH"]) is None


@pytest.mark.whole
def test_new_leaves_a_project_that_one_more_line_starts(
    clone: Clone, port: int, servers: list[subprocess.Popen[bytes]]
) -> None:
    modules = list(TEMPLATE.registry)[:2]
    done = clone.make("new", f"MODULES={' '.join(modules)}", "NAME=It's mine")

    assert done.returncode == 0, done.stderr
    assert "of the machine" not in done.stdout
    project = clone.root / "projects" / "it_s_mine"
    apps = {path.name for path in (project / "apps").iterdir()}
    assert apps & set(TEMPLATE.registry) == set(modules)
    assert (project / ".env").read_bytes() == (project / ".env.example").read_bytes()

    line = done.stdout.strip().splitlines()[-1].strip()
    assert line == "cd projects/it_s_mine && .venv/bin/python manage.py runserver"
    environment = clone.environment()
    migrated = run(
        ["sh", "-c", line.replace("runserver", "migrate --check")],
        folder=clone.root,
        environment=environment,
    )
    assert migrated.returncode == 0, migrated.stderr
    server = subprocess.Popen(
        ["sh", "-c", f"{line} {port}"],
        cwd=clone.root,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    servers.append(server)
    assert b'"ok"' in answer_of(f"http://127.0.0.1:{port}/health/", server)
    assert b"It&#x27;s mine" in answer_of(f"http://127.0.0.1:{port}/", server)

    again = clone.make("new", f"MODULES={modules[0]}", "NAME=It's mine")
    assert again.returncode != 0
    assert "already exists" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.whole
def test_new_needs_no_other_python_than_the_least_and_fetches_none(
    clone: Clone, tmp_path: Path
) -> None:
    """The only Python is 3.12, and none can be downloaded."""
    python = interpreter_of("3.12")
    if python is None:
        pytest.skip("Python 3.12 cannot be found on this machine")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python3", "python3.12"):
        (programs / name).symlink_to(python)
    for name in ("git", "make", "sh", "sed", "find", "rm"):
        (programs / name).symlink_to(str(shutil.which(name)))
    only = {
        "PATH": str(programs), "PYENV_ROOT": str(tmp_path), "UV_PYTHON_DOWNLOADS": "never",
        "UV_PYTHON_INSTALL_DIR": str(tmp_path / "managed"),
        "UV_PROJECT_ENVIRONMENT": str(tmp_path / "environment"),
    }  # fmt: skip
    done = clone.make("new", "MODULES=", "NAME=Least", **only)
    assert done.returncode == 0, done.stderr
    project = clone.root / "projects" / "least"
    assert not (project / ".python-version").exists()
    made = (project / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
    assert "version_info = 3.12." in made


PYTHONS_OF_UV = """#!/bin/sh
echo '[{"implementation": "cpython", "variant": "default", "version": "3.12.1",
  "version_parts": {"major": 3, "minor": 12}, "path": "/least"},
 {"implementation": "cpython", "variant": "default", "version": "3.14.2",
  "version_parts": {"major": 3, "minor": 14}, "path": "/newest"},
 {"implementation": "cpython", "variant": "freethreaded", "version": "3.15.0",
  "version_parts": {"major": 3, "minor": 15}, "path": "/threads"},
 {"implementation": "cpython", "variant": "default", "version": "3.16.0a1",
  "version_parts": {"major": 3, "minor": 16}, "path": "/alpha"}]'
"""


def test_new_takes_the_newest_stable_python(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(PYTHONS_OF_UV)
    uv.chmod(0o755)
    assert new.newest_python(str(uv)) == "/newest"
    uv.write_text("#!/bin/sh\necho '[]'\n")
    assert new.newest_python(str(uv)) is None


def test_new_says_what_helps_after_an_installation_that_failed(
    bakery: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bakery.copy(bakery.project(Combination(())), tmp_path / "my_project")
    monkeypatch.setenv("UV", "false")
    with pytest.raises(SystemExit, match=r"false sync failed in .*run there: uv sync, then"):
        new.prepare(project.path, without=[])


@pytest.mark.whole
def test_new_heeds_no_setting_of_another_project(clone: Clone) -> None:
    """A database that the shell names may be the one of production."""
    foreign = clone.root / "foreign.sqlite3"
    name = "$HOME costs $(id) or $5, 100% # sure"
    done = clone.make("new", f"NAME={name}", DATABASE_URL=f"sqlite:///{foreign}", DEBUG="perhaps")
    assert done.returncode == 0, done.stderr
    assert not foreign.exists()
    assert "Your environment sets DEBUG, DATABASE_URL." in done.stderr
    project = clone.root / "projects" / "home_costs_id_or_5_100_sure"
    assert (project / "db.sqlite3").exists()
    settings = (project / "config" / "settings.py").read_text(encoding="utf-8")
    assert f'"{name}"' in settings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["MODULES=audti"], "there is no module audti. The modules are: profiles"),
        (["MODULES=profiles,audti"], "there is no module audti"),
        (["NAME={{ 1 }}"], "NAME={{ 1 }} is refused"),
        (["NAME=", "MODULES="], "1 to 200 characters"),
    ],
)
def test_new_refuses_in_one_sentence(clone: Clone, words: list[str], says: str) -> None:
    done = clone.make("new", *words, "OUTPUT=refused")
    assert done.returncode != 0
    (sentence, *rest) = done.stderr.strip().splitlines()
    assert says in sentence
    assert all(re.match(r"make(\[\d+\])?: \*\*\*", line) for line in rest), rest
    assert not (clone.root / "refused").exists()


def test_new_asks_when_nothing_is_said(clone: Clone) -> None:
    """The questions are asked; here their answers end early, and so does the run."""
    done = clone.make("new", "OUTPUT=asked", answers="My Project\n")
    assert done.returncode != 0
    first, second, *_ = (TEMPLATE.texts_of(prompt)[0] for prompt in TEMPLATE.prompts)
    assert first in done.stdout
    assert second.split(" (")[0] in done.stdout
    assert "Cancelled: nothing was generated." in done.stderr
    assert not (clone.root / "asked").exists()


def test_a_python_version_that_pyenv_lacks_does_not_stop_make(clone: Clone, tmp_path: Path) -> None:
    """Then ``python3`` fails in this folder, and only in this folder."""
    program = tmp_path / "python3"
    program.write_text(
        f'#!/bin/sh\n[ "$PYENV_VERSION" = system ] && exec {shutil.which("python3.13") or "python3"} "$@"\n'
        'echo "pyenv: version not installed" >&2\nexit 127\n'
    )
    program.chmod(0o755)
    environment = clone.environment()
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    done = run(
        ["make", "--dry-run", "--always-make", "clean", "new"],
        folder=clone.root,
        environment=environment,
    )
    assert "PYENV_VERSION=system python3 -m venv" in done.stdout, done.stderr


def test_clean_takes_caches_out_of_the_template(clone: Clone) -> None:
    source = clone.root / TEMPLATE.source.name
    for name in ("__pycache__", ".ruff_cache", ".mypy_cache"):
        (source / "apps" / name).mkdir()
        (source / "apps" / name / "x").touch()
    assert clone.make("clean").returncode == 0
    left = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert left == TEMPLATE.files()


def test_help_names_every_target(clone: Clone) -> None:
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    said = clone.make().stdout
    assert all(
        f"make {name}" in said for name in targets[1].split() if name not in ("help", "clean")
    )


def answer_of(address: str, server: subprocess.Popen[bytes]) -> bytes:
    """Ask a server that may still be starting."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=HANGS) as response:  # noqa: S310 (our server)
                answer: bytes = response.read()
                return answer
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, "the server has ended"
            time.sleep(0.2)
