"""Generate a project from this clone and make it ready to run: ``make new``.

The environment says what to make: MODULES and NAME, both optional, skip the
questions; OUTPUT is the folder that the project's folder goes into. UV, which
``uv run`` sets, is the uv that installs the project's packages.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path

from cookiecutter.exceptions import CookiecutterException
from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
import django_signals_rules  # noqa: E402

# They would lead the project's commands to another environment or other settings.
MISLEADING = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "DJANGO_SETTINGS_MODULE")
# That of the projects.
LEAST_PYTHON = (3, 12)
# Where uv puts the project's Python.
PYTHON = Path(".venv/Scripts/python.exe" if os.name == "nt" else ".venv/bin/python")


def main() -> None:
    """Bake, install, migrate; exit with one sentence when something is refused."""
    modules, name = os.environ.get("MODULES"), os.environ.get("NAME")
    output = Path(os.environ.get("OUTPUT") or "projects")
    ask = modules is None and name is None
    try:
        project = bake(output, {} if ask else answers(modules or "", name), ask=ask)
    except CookiecutterException as error:
        sys.exit(str(error))
    except (EOFError, KeyboardInterrupt):
        sys.exit("\nCancelled: nothing was generated.")
    own = variables_of(project)
    prepare(project, without=[*MISLEADING, *own])
    folder = os.path.relpath(project)
    shown = str(project) if folder.startswith("..") else folder
    print(f"\nThe project is ready in {shown}, its database is migrated. Start its server with:\n")
    print(f"    cd {shlex.quote(shown)} && {PYTHON} manage.py runserver")
    if set_here := [name for name in own if name in os.environ]:
        print(
            f"Your environment sets {', '.join(set_here)}. The server prefers that to .env;"
            " this command ignored it.",
            file=sys.stderr,
        )


def answers(modules: str, name: str | None) -> dict[str, object]:
    """Turn the values of MODULES and NAME into answers to the prompts."""
    known = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_modules"]
    chosen = modules.replace(",", " ").split()
    for module in chosen:
        if module not in known:
            sys.exit(
                f"MODULES={modules} is refused: there is no module {module}."
                f" The modules are: {', '.join(known)}"
            )
    result: dict[str, object] = {module: module in chosen for module in known}
    if name is not None:
        if fault := django_signals_rules.text_fault(name):
            sys.exit(f"NAME={name} is refused: {fault}. A valid example: NAME='My Project'")
        result["project_name"] = name
    return result


def bake(output: Path, extra_context: dict[str, object], *, ask: bool) -> Path:
    """Bake the project, asking the questions if wanted, and return its folder."""
    # The closing message lists what this script does itself; after questions it has
    # to stay, since they go to standard output too.
    with contextlib.nullcontext() if ask else standard_output_to(os.devnull):
        folder = cookiecutter(
            str(ROOT), no_input=not ask, extra_context=extra_context, output_dir=str(output)
        )
    return Path(folder).resolve()


def variables_of(project: Path) -> list[str]:
    """List the variables that the project's settings read, by its .env.example."""
    text = (project / ".env.example").read_text(encoding="utf-8")
    return re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE)


def prepare(project: Path, *, without: Container[str]) -> None:
    """Give the project its .env, its packages and its database.

    The database is that of .env: not one which a variable of the environment names, such as
    DATABASE_URL, set for another project.
    """
    shutil.copyfile(project / ".env.example", project / ".env")
    environment = {key: value for key, value in os.environ.items() if key not in without}
    uv = os.environ.get("UV", "uv")
    if not (project / ".python-version").exists() and (python := newest_python(uv)):
        environment.setdefault("UV_PYTHON", python)
    for command in (
        [uv, "sync"],
        [str(project / PYTHON), "manage.py", "migrate", "--verbosity=0"],
    ):
        if status := subprocess.run(command, cwd=project, env=environment).returncode:
            sys.exit(
                f"{shlex.join(command)} failed in {project} (exit status {status}). The project is"
                " complete. When the cause is mended, run there: uv sync, then uv run manage.py"
                " migrate. Or delete the folder, and run make new again."
            )


def newest_python(uv: str) -> str | None:
    """Return the path of the newest stable Python that uv finds; uv takes the first one."""
    command = [uv, "python", "list", "--only-installed", "--output-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [
        (each["version_parts"]["major"], each["version_parts"]["minor"], each["path"])
        for each in json.loads(done.stdout or "[]")
        if (each["implementation"], each["variant"]) == ("cpython", "default")
        and re.fullmatch(r"[\d.]+", each["version"])
    ]
    usable = [each for each in found if each[:2] >= LEAST_PYTHON]
    return max(usable)[2] if usable else None


@contextlib.contextmanager
def standard_output_to(path: str) -> Iterator[None]:
    """Send the standard output of this process, and of those it starts, somewhere else."""
    sys.stdout.flush()
    kept = os.dup(1)
    opened = os.open(path, os.O_WRONLY)
    os.dup2(opened, 1)
    os.close(opened)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    main()
