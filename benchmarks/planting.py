"""A project to measure: baked from this template, installed, and with the app ``planted`` in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
# They would lead the project's programs to another environment or other settings.
MISLEADING = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "DATABASE_URL")


@dataclass(frozen=True)
class Project:
    """A project with its environment; ``python`` is the interpreter with its packages."""

    folder: Path
    python: str

    def run(self, module: str, *arguments: str) -> str:
        """Run a module of the project in production's settings; return its standard output.

        Raises:
            SystemExit: when it fails, with its exit status.
        """
        environment = {k: v for k, v in os.environ.items() if k not in MISLEADING}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "apps.planted.settings",
            "DEBUG": "0",
            "SECRET_KEY": "only-for-a-benchmark",
            "ALLOWED_HOSTS": "localhost",
            "EMAIL_URL": "consolemail://",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        }
        process = subprocess.Popen(
            [self.python, "-m", module, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            output, _ = process.communicate()
        finally:
            # It has ended already, or it ends what it has started.
            process.terminate()
            process.wait()
        if process.returncode:
            sys.exit(process.returncode)
        return output


def planted(folder: Path, python: str | None, modules: Sequence[str] = ("handoff",)) -> Project:
    """Bake a project in a folder, plant the app and install its packages.

    Args:
        folder: where the project goes.
        python: an interpreter that has the project's packages; None installs them.
        modules: the modules to choose.
    """
    known = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_modules"]
    answers: dict[str, object] = {name: name in modules for name in known}
    config = folder / "config.yaml"
    config.write_text(f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/cloned\n")
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the closing message of the hooks is about another kind of project
    try:
        project = Path(
            cookiecutter(
                str(ROOT),
                no_input=True,
                extra_context=answers,
                output_dir=str(folder),
                config_file=str(config),
            )
        ).resolve()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
    shutil.copytree(ROOT / "benchmarks/planted", project / "apps/planted")
    if python is None:
        environment = {k: v for k, v in os.environ.items() if k not in MISLEADING}
        uv = os.environ.get("UV", "uv")
        subprocess.run([uv, "sync", "--quiet"], cwd=project, env=environment, check=True)
        python = str(project / ".venv/bin/python")
    return Project(project, python)
