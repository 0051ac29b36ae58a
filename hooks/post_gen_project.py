"""Take out the modules that were not chosen and say what to do next.

No network, no git, no installs and no secrets: the hook runs again whenever
the project is updated from the template.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing it would cost more time than the rest of the hook
    from typing import Any, Final

ANSWERS: Final = r"""{{ cookiecutter|tojson }}"""
PURPOSE: Final[str] = r"""{{ cookiecutter|purpose }}"""

LEAST_PYTHON: Final = [3, 12]

CLOSING_MESSAGE: Final = """
{name} is ready in {folder} ({modules}).

Next, with uv installed:

    cd {folder}
    {copy} .env.example .env
    uv run manage.py migrate
    uv run manage.py createsuperuser
    uv run manage.py runserver

Run its tests with: uv run pytest
"""


def main() -> int:
    """Prune the project in the working directory; return the exit status."""
    answers = json.loads(ANSWERS)
    missing = prune(answers)
    if missing:
        print(f"The template lacks what it should prune: {', '.join(missing)}", file=sys.stderr)
        return 1
    # An update bakes into a folder that is deleted before a reader could follow the message.
    if PURPOSE != "comparison":
        show_pythons_of_pyenv()
        say(closing_message(answers))
    return 0


def show_pythons_of_pyenv(root: str = ".") -> None:
    """Name the newest Python of pyenv that the project can use; without pyenv, do nothing.

    Pyenv hides every Python that is not chosen there, also from uv, which would download one.
    Version control ignores the file, because other machines have other Pythons.
    """
    home = os.environ.get("PYENV_ROOT") or os.path.join(os.path.expanduser("~"), ".pyenv")
    versions = os.path.join(home, "versions")
    names = [name.split(".") for name in os.listdir(versions)] if os.path.isdir(versions) else []
    # Not 3.15.0rc1, and no environment with a name.
    stable = [[int(part) for part in name] for name in names if all(map(str.isdigit, name))]
    usable = [version for version in stable if version[:2] >= LEAST_PYTHON]
    if usable:
        with open(os.path.join(root, ".python-version"), "w", encoding="utf-8") as file:
            file.write(".".join(map(str, max(usable))) + "\n")


def say(message: str) -> None:
    """Print a message; an output that cannot show it does not stop the bake."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        # A terminal may lack a letter of the name.
        print(message.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError:  # the other end of the pipe is closed, as with ``| head``
        # Python flushes once more when it ends, and would fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prune(answers: dict[str, Any], root: str = ".") -> list[str]:
    """Delete every path that was not chosen; return those that were not there."""
    missing = []
    for path in unchosen(answers):
        target = os.path.join(root, *path.split("/"))
        if os.path.isdir(target):
            remove_folder(target)
        elif os.path.exists(target):
            os.remove(target)
            remove_if_empty(os.path.dirname(target))
        else:
            missing.append(path)
    return missing


def unchosen(answers: dict[str, Any]) -> list[str]:
    """List the paths of the modules not chosen, and of settings that no chosen one adds to."""
    paths, filled = [], set()
    for name, module in answers["_modules"].items():
        if answers[name]:
            filled |= module.get("contributes", {}).keys()
        else:
            paths += [f"apps/{name}", *module.get("paths", [])]
    for name, setting in answers["_settings"].items():
        if name not in filled:
            paths += setting.get("paths", [])
    return paths


def remove_folder(folder: str) -> None:
    """Delete a folder with everything in it, without following links."""
    import shutil  # a project with all modules does without

    shutil.rmtree(folder)


def remove_if_empty(folder: str) -> None:
    """Delete a folder that lost its last file."""
    if not os.listdir(folder):
        os.rmdir(folder)


def closing_message(answers: dict[str, Any]) -> str:
    """Return the lines that tell the user what was made and what to run next."""
    modules = [name for name in answers["_modules"] if answers[name]]
    folder = os.getcwd()
    return CLOSING_MESSAGE.format(
        name=answers["project_name"],
        folder=quoted(folder),
        copy="copy" if os.name == "nt" else "cp",
        modules=f"modules: {', '.join(modules)}" if modules else "no modules",
    )


def quoted(path: str) -> str:
    """Quote a path for the shell, if it needs that."""
    if all(sign.isalnum() or sign in "/\\:._-" for sign in path):
        return path
    return f'"{path}"' if os.name == "nt" else "'" + path.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    sys.exit(main())
