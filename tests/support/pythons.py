"""The Pythons of this machine."""

import os
from pathlib import Path

from tests.support.programs import run
from tests.support.template import ROOT


def python_of(version: str) -> list[str] | None:
    """Return the command that runs a Python of a minor version, None when there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    hidden = [path / "bin" / "python" for path in sorted(pyenv.glob(f"{version}.*"))]
    for program in [f"python{version}", *map(str, hidden)]:
        try:
            if run([program, "-c", ""], folder=ROOT).returncode == 0:
                return [program]
        except FileNotFoundError:
            pass
    return None


def interpreter_of(version: str) -> Path | None:
    """Return the path of a Python of a minor version, None when there is none."""
    command = python_of(version)
    if command is None:
        return None
    done = run([*command, "-c", "import sys; print(sys.executable)"], folder=ROOT)
    return Path(done.stdout.strip())
