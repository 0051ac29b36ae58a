"""Runs commands of a baked project in its folder, and starts Python and Django once for all.

The argument is a new folder for results. Standard input holds JSON: a list of groups, each with
variables of the environment and the commands that run with them. Every command runs in a new
process, with the arguments, the path for imports and the environment of a command line. The process
is a fork of one that has set up Django already. The results are ``results.json`` in the folder, see
``result``.
"""

import atexit
import importlib
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# Most commands import these modules, which need no settings.
PRELOADED = ("django.core.management", "django.db.models")


def main() -> None:
    """Run all groups."""
    folder = Path(sys.argv[1])
    groups: list[dict[str, Any]] = json.load(sys.stdin)
    sys.path[0] = str(Path.cwd())
    for name in PRELOADED:
        importlib.import_module(name)
    results = []
    for number, group in enumerate(groups):
        place = folder / str(number)
        place.mkdir()
        forked(partial(run_group, group, place, set_up_django), place / "group")
        if not (place / "results.json").exists():
            # Django could not be set up. So each command has to say why.
            forked(partial(run_group, group, place), place / "group")
        results.append(json.loads((place / "results.json").read_text(encoding="utf-8")))
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


def run_group(
    group: dict[str, Any], place: Path, prepare: Callable[[], None] = lambda: None
) -> None:
    """Run the commands of a group one after another, each in a fork of what was prepared."""
    os.environ.update(group["variables"])
    prepare()
    results = []
    for number, words in enumerate(group["commands"]):
        output = place / str(number)
        results.append(result(forked(partial(run, words), output), output))
    (place / "results.json").write_text(json.dumps(results), encoding="utf-8")


def set_up_django() -> None:
    """Load the settings, the apps and their models; a command that does so again changes nothing."""
    import django

    named = "DJANGO_SETTINGS_MODULE" in os.environ
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    if not named:
        del os.environ["DJANGO_SETTINGS_MODULE"]


def run(words: list[str]) -> None:
    """Run a script, or a module after ``-m``, as Python's command line does."""
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def forked(action: Callable[[], None], output: Path) -> int:
    """Run an action in a new process; return its exit status.

    Its output goes to two files whose names begin with that of ``output``.
    """
    child = os.fork()
    if child == 0:
        redirect(0, Path(os.devnull), os.O_RDONLY)
        for descriptor, suffix in ((1, ".out"), (2, ".err")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            redirect(descriptor, output.with_name(output.name + suffix), flags)
        status = status_of(action)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        # To take the interpreter apart costs more than the command, and changes no exit status.
        os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def status_of(action: Callable[[], None]) -> int:
    """Run an action; return the exit status that Python would end with, and print its traceback."""
    try:
        action()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 (the process ends with it)
        traceback.print_exc()
        return 1
    return 0


def redirect(descriptor: int, path: Path, flags: int) -> None:
    """Make a standard stream lead to a file."""
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)


def result(status: int, output: Path) -> dict[str, Any]:
    """Return how a command ended and what it printed."""
    said = {
        name: output.with_name(output.name + suffix).read_text(encoding="utf-8", errors="replace")
        for name, suffix in (("stdout", ".out"), ("stderr", ".err"))
    }
    return {"returncode": status, **said}


if __name__ == "__main__":
    main()
