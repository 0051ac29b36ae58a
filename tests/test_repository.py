"""The repository's own configuration: its workflow, its pins, its CI script."""

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.bakery import Bakery
from tests.support.programs import UV, clean_environment, run, uv_cache
from tests.support.project import requirement_name
from tests.support.template import PARTS, ROOT, TEMPLATE

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("program", ["uv", "cookiecutter", "pip-audit"])
def test_there_is_one_version_of_a_program(program: str) -> None:
    """Workflows and the image name it once more."""
    (pin,) = [
        line
        for group in ("bake", "audit", "dev")
        for line in PYPROJECT["dependency-groups"][group]
        if isinstance(line, str) and line.startswith(f"{program}==")
    ]
    files = [*WORKFLOWS, *(TEMPLATE.source / ".github/workflows").glob("*.yml")]
    named = [
        version
        for path in [*files, TEMPLATE.source / "Dockerfile"]
        for version in re.findall(rf"\b{program}==[\d.]+", path.read_text(encoding="utf-8"))
    ]
    assert named
    assert set(named) == {pin}


def test_every_package_is_pinned(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("lock")
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
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


# Replaces the scanner, which asks the network: this one reports one package.
SCANNER = """
import os, re, sys
from pathlib import Path

assert "--strict" in sys.argv
lines = Path(sys.argv[sys.argv.index("--requirement") + 1]).read_text().splitlines()
names = {line.split("==")[0] for line in lines if re.match(r"[a-z0-9]", line)}
print("scanned", *sorted(names))
sys.exit(os.environ["VULNERABLE"] in names)
"""


@pytest.mark.whole
@pytest.mark.parametrize(
    ("vulnerable", "status"), [("pytest-cookies", 1), ("gunicorn", 1), ("vine", 1), ("none", 0)]
)
def test_the_audit_looks_at_every_package_and_fails_for_one(
    bakery: Bakery, tmp_path: Path, vulnerable: str, status: int
) -> None:
    """One of the tests of the template, one of production, one that only others need."""
    (tmp_path / "pip_audit.py").write_text(SCANNER, encoding="utf-8")
    environment = clean_environment(
        HOME=str(tmp_path),
        PYTHONPATH=str(tmp_path),
        UV=str(UV),
        UV_CACHE_DIR=uv_cache(),
        VULNERABLE=vulnerable,
    )
    done = run(
        [sys.executable, ROOT / "scripts" / "audit.py"], folder=ROOT, environment=environment
    )
    assert done.returncode == status, done.stderr
    own, project = [set(said.split()) for said in re.findall(r"^scanned (.*)$", done.stdout, re.M)]
    everywhere = {"colorama", "distlib", "tzdata", "tzlocal"}  # may be for another system only
    assert bakery.project(TEMPLATE.all_on()).pins().keys() - project <= everywhere
    assert "pytest-cookies" in own


def test_the_ci_script_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run(["bash", "-n", script], folder=ROOT).returncode == 0


def test_what_is_kept_for_speed_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".venv/", ".tools/", ".cache/", "projects/", "uv.lock"} <= set(ignored)
    assert all((ROOT / part).exists() for part in PARTS)
