"""Projects that are baked to be asked or measured, and then thrown away."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

TIMEOUT: Final = 300.0  # seconds for a step, of which an installation takes most
# They would lead the project's commands to another environment or another database.
MISLEADING: Final = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "DATABASE_URL")


def bake(template: Path, folder: Path, modules: Iterable[str]) -> Path:
    """Bake a project with these modules into a folder; return the project's own."""
    config = folder / "config.yaml"
    config.write_text(
        f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/cloned\n", encoding="utf-8"
    )
    answers = [f"{module}=yes" for module in modules]
    options = ["--no-input", "--config-file", str(config), "--output-dir", str(folder)]
    run([sys.executable, "-m", "cookiecutter", *options, str(template), *answers], folder)
    return folder / "my_project"


def installed(project: Path) -> Path:
    """Install the packages of a project; return its interpreter."""
    run([os.environ.get("UV", "uv"), "sync", "--quiet", "--no-dev"], project)
    return project / ".venv" / "bin" / "python"


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command in a project's folder as a developer would; return what it says.

    Raises:
        SystemExit: with all it said, when it fails.
    """
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment |= {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": "."}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout
