"""Copies of the whole repository, as a fresh clone is: without what make and the tests keep."""

import os
import re
import shutil
import sys
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.programs import UV, PythonEnvironment, clean_environment, run, uv_cache
from tests.support.template import CACHE, ROOT, Template


def copied_repository(folder: Path) -> Template:
    """Copy what is under version control, or would be, into a new folder."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    names = [".git", *(name.rstrip("/") for name in ignored)]
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*names))
    return Template(folder)


def share_environments(repository: Template) -> None:
    """Let the tests of a copy find the environments of this repository, and make others."""
    own = repository.root / CACHE.name / "environments"
    own.mkdir(parents=True)
    for path in (CACHE / "environments").iterdir():
        if path.suffix == ".done":
            (own / path.name).touch()
            (own / path.stem).symlink_to(path.with_suffix(""))


def scripts_of(repository: Template, target: str) -> list[list[str]]:
    """Return the scripts that a target of make runs, each with its options."""
    text = (repository.root / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert recipe, f"there is no target {target}"
    return [line.split() for line in re.findall(r"(scripts/\w+\.py.*)", recipe[1])]


def draw(repository: Template, environment: PythonEnvironment) -> None:
    """Do what ``make draw`` does, with the packages that are here already.

    Args:
        repository: the copy whose scripts are run.
        environment: has the packages of a project with all modules.
    """
    for script, *options in scripts_of(repository, "draw"):
        if script == "scripts/draw_signal_map.py":
            options += ["--python", str(environment.program("python"))]
        done = script_run(repository, script, *options)
        assert done.returncode == 0, done.stdout + done.stderr


def script_run(repository: Template, script: str, *options: str) -> CompletedProcess[str]:
    """Run a script of a copy with the interpreter of the tests."""
    command = [sys.executable, str(repository.root / script), *options]
    return run(command, folder=repository.root, environment=clean_environment())


def without_uv(home: Path) -> dict[str, str]:
    """Return the environment of somebody without uv, whose downloads are kept for other runs."""
    kept = clean_environment(HOME=str(home), NAME="of the machine")
    path = [folder for folder in kept["PATH"].split(os.pathsep) if folder != str(UV.parent)]
    caches = {
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
        "UV_CACHE_DIR": uv_cache(),
    }
    return {**kept, **caches, "PATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": ""}
