"""The repository's own configuration: its workflow, its pins, its CI script."""

import os
import re
import tomllib
from typing import Any

import pytest

from tests.support.programs import UV, clean_environment, run
from tests.support.project import requirement_name
from tests.support.template import PARTS, ROOT

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_there_is_one_version_of_uv() -> None:
    (pin,) = [
        line
        for line in PYPROJECT["dependency-groups"]["dev"]
        if isinstance(line, str) and line.startswith("uv==")
    ]
    named = [
        version
        for path in [*WORKFLOWS, ROOT / "{{cookiecutter.project_slug}}/.github/workflows/ci.yml"]
        for version in re.findall(r"uv==[\d.]+", path.read_text(encoding="utf-8"))
    ]
    assert named
    assert set(named) == {pin}


def test_every_package_is_pinned(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("lock")
    for name in ("pyproject.toml", ".python-version"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    done = run([UV, "lock"], folder=folder, environment=clean_environment())
    assert done.returncode == 0, done.stderr
    lock = tomllib.loads((folder / "uv.lock").read_text(encoding="utf-8"))
    groups = PYPROJECT["dependency-groups"].values()
    pinned = {
        requirement_name(line)
        for lines in [*groups, PYPROJECT["tool"]["uv"]["constraint-dependencies"]]
        for line in lines
        if isinstance(line, str) and "==" in line
    }
    found = {package["name"] for package in lock["package"]} - {PYPROJECT["project"]["name"]}
    assert found - pinned == set()
    assert pinned - found == set(), "pinned, but needed by nothing"


def test_the_ci_script_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run(["bash", "-n", script], folder=ROOT).returncode == 0


def test_what_is_kept_for_speed_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".venv/", ".tools/", ".cache/", "projects/", "uv.lock"} <= set(ignored)
    assert all((ROOT / part).exists() for part in PARTS)
