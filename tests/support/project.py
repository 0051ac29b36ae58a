"""A baked project, and how tests look at it."""

import re
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.support.programs import PythonEnvironment
from tests.support.template import CACHE_FOLDERS, Combination, Template

# Where a project keeps which release and which answers made it.
ANSWERS = ".template.json"


@dataclass(frozen=True)
class BakedProject:
    """A project that was generated from the template, never changed by a test.

    ``files`` holds what the bake wrote, whatever tools have added since. ``kept`` is a folder for
    what was found out about it; a project that a test may change has none.
    """

    path: Path
    template: Template
    combination: Combination
    files: frozenset[str]
    environment: PythonEnvironment
    kept: Path | None = None

    def read(self, file: str) -> str:
        """Return the text of a file."""
        return (self.path / file).read_text(encoding="utf-8")

    def texts(self) -> dict[str, str]:
        """Return the text of every file that the bake wrote; bytes that are none are replaced."""
        return {
            file: (self.path / file).read_bytes().decode("utf-8", errors="replace")
            for file in sorted(self.files)
        }

    def texts_without_answers(self) -> dict[str, str]:
        """Return ``texts`` without the record of answers, which names every module."""
        return {file: text for file, text in self.texts().items() if file != ANSWERS}

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        """The content of pyproject.toml."""
        return tomllib.loads(self.read("pyproject.toml"))

    def hooks(self) -> list[dict[str, Any]]:
        """Return the hooks of pre-commit, as its configuration has them."""
        repositories = yaml.safe_load(self.read(".pre-commit-config.yaml"))["repos"]
        return [hook for repository in repositories for hook in repository["hooks"]]

    def pins(self) -> dict[str, bool]:
        """Return the name of each package that pyproject.toml lists, and whether exactly pinned."""
        lines = [
            *self.pyproject["project"]["dependencies"],
            *(line for group in self.pyproject["dependency-groups"].values() for line in group),
            *self.pyproject.get("tool", {}).get("uv", {}).get("constraint-dependencies", []),
        ]
        return {requirement_name(line): "==" in line for line in lines}

    def run(
        self, *command: str, answers: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the project's folder; answers go to its input."""
        return self.environment.run(
            *command, folder=self.path, variables=variables, answers=answers
        )

    def faults_of(self, *command: str, **variables: str) -> list[str]:
        """Run a program; return nothing when it succeeds, else what it says."""
        return faults_in(command, self.run(*command, **variables))


def faults_in(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return nothing when a command has succeeded, else what it said."""
    if done.returncode == 0:
        return []
    said = "\n".join(part for part in (done.stdout.strip(), done.stderr.strip()) if part)
    last = "\n".join(said.splitlines()[-60:])
    return [f"{' '.join(command)} ended with {done.returncode}:\n{last}"]


def requirement_name(line: str) -> str:
    """Return the normalised name of a package from a line such as ``celery[redis]==5.7.0``."""
    name = re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def files_in(folder: Path) -> frozenset[str]:
    """List the files of a folder, relative to it, less what version control and tools keep."""
    # The hook names a Python of pyenv in the last, which is a matter of the machine.
    skipped = CACHE_FOLDERS | {".git", ".venv", ".python-version"}
    return frozenset(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not skipped & set(path.relative_to(folder).parts)
    )
