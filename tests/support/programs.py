"""Programs in a clean environment, so that nothing of the developer's own gets in."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uv

from tests.support.template import ROOT, TEMPLATE

UV = Path(uv.find_uv_bin())

# They lead uv, Python, Django, make or pytest somewhere else than the test wants.
FOREIGN = (
    "COV", "DJANGO_", "GIT_DIR", "GIT_INDEX", "GIT_WORK", "MAKE", "MFLAGS", "PRE_COMMIT", "PYTEST_",
    "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "REQUIRE_SERVICES", "UV_COMPILE", "UV_PROJECT",
    "UV_PYTHON", "VIRTUAL_ENV",
)  # fmt: skip
# Seconds after which a program hangs. No test may fail because the machine is busy.
HANGS = 3600
OURS = TEMPLATE.environment_variables()


def clean_environment(**changes: str) -> dict[str, str]:
    """Return the environment less what is foreign, with uv on the path, plus the changes.

    Each process of this test run gives pytest a separate folder for temporary files. Runs that
    share one delete each other's old folders, and fail when they meet.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and name not in OURS
    }
    return {
        **kept,
        "PATH": f"{UV.parent}{os.pathsep}{kept['PATH']}",
        "PYTEST_DEBUG_TEMPROOT": temporary_files().name,
        **changes,
    }


@functools.cache
def temporary_files() -> tempfile.TemporaryDirectory[str]:
    """Return a folder of this process, which goes with it."""
    return tempfile.TemporaryDirectory(prefix="pytest-in-bakes-")


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    answers: str | None = None,
    output: int | None = None,
    timeout: float = HANGS,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; never raises because of its exit status.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        environment: instead of the clean environment.
        answers: what is typed on its standard input; nothing by default.
        output: the descriptor that its standard output goes to; None captures it.
        timeout: seconds until it is stopped, with an error: long after any that only is slow.
    """
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=clean_environment() if environment is None else environment,
        input=answers or "",
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
    )


def uv_cache() -> str:
    """Return the folder of uv's downloads, for programs that have another home."""
    return run([UV, "cache", "dir"], folder=ROOT).stdout.strip()


@dataclass(frozen=True)
class PythonEnvironment:
    """A virtual environment, and the variables that its programs run with."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def program(self, name: str) -> Path:
        """Return the path of a program that the environment holds."""
        return self.folder / "bin" / name

    def run(
        self,
        *command: str,
        folder: Path,
        variables: Mapping[str, str],
        answers: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in a folder, with further variables and with answers to it."""
        program, *arguments = command
        return run(
            [self.program(program), *arguments],
            folder=folder,
            environment=self.activated(**variables),
            answers=answers,
        )

    def activated(self, **variables: str) -> dict[str, str]:
        """Return the variables with which a shell finds the programs of this environment."""
        environment = clean_environment(**{**self.variables, **variables})
        environment["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{environment['PATH']}"
        return environment
