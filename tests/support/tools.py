"""Versions of cookiecutter and cruft, each in an environment that is kept for later runs."""

import sys
from pathlib import Path

from tests.support.once import once
from tests.support.programs import UV, clean_environment, run
from tests.support.template import CACHE


def installed(name: str, version: str) -> Path:
    """Return the path of a program of a version of the package that has its name.

    Raises:
        AssertionError: when it cannot be installed.
    """
    folder = CACHE / "tools" / f"{name}-{version}"
    return once(folder, lambda to: _install(f"{name}=={version}", to)) / "bin" / name


def _install(pin: str, to: Path) -> None:
    for command in (
        ["venv", "--quiet", "--clear", f"--python={sys.executable}", to],
        ["pip", "install", "--quiet", f"--python={to}", pin],
    ):
        done = run([UV, *command], folder=to.parent, environment=clean_environment())
        assert done.returncode == 0, done.stderr
