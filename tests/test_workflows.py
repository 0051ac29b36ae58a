"""The workflows and what keeps pins up to date, of the repository and of the projects."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bakery import Bakery
from tests.support.programs import run
from tests.support.template import ROOT, TEMPLATE, Combination

PROGRAMS = Path(sys.executable).parent
WORKFLOWS = ".github/workflows"
RENOVATE = ".github/renovate.json"
CORNERS = TEMPLATE.corners()


def actionlint(folder: Path) -> list[str]:
    """Run the linter of workflows over a folder; return what it says."""
    files = sorted((folder / WORKFLOWS).glob("*.yml"))
    assert files
    # Without shellcheck, which is not everywhere: a finding must not depend on the machine.
    command = [str(PROGRAMS / "actionlint"), "-shellcheck=", "-pyflakes=", *map(str, files)]
    done = run(command, folder=folder)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def zizmor(folder: Path) -> list[str]:
    """Run the scanner of workflows over a folder, offline; return what it says."""
    command = [str(PROGRAMS / "zizmor"), "--offline", "--no-progress", "--color=never", WORKFLOWS]
    done = run(command, folder=folder)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


LINTERS = [actionlint, zizmor]


def folder_of(bakery: Bakery, combination: Combination | None) -> Path:
    return bakery.project(combination).path if combination else ROOT


@pytest.mark.parametrize("linter", LINTERS, ids=lambda linter: linter.__name__)
@pytest.mark.parametrize("combination", [None, *CORNERS], ids=lambda each: str(each or "template"))
def test_the_linter_has_nothing_to_say(
    bakery: Bakery, combination: Combination | None, linter: Callable[[Path], list[str]]
) -> None:
    assert linter(folder_of(bakery, combination)) == []


@pytest.mark.parametrize(
    ("linter", "old", "new", "says"),
    [
        (actionlint, "runs-on: ubuntu-24.04", "runs-on: ubuntu-1", "ubuntu-1"),
        (actionlint, "matrix.python", "matrix.pithon", "pithon"),
        (zizmor, "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (zizmor, "contents: read", "contents: write", "excessive-permissions"),
        (zizmor, "@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4", "unpinned-uses"),
    ],
)
def test_the_linters_can_fail(
    bakery: Bakery,
    tmp_path: Path,
    linter: Callable[[Path], list[str]],
    old: str,
    new: str,
    says: str,
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(bakery.project(TEMPLATE.all_on()).path / ".github", folder / ".github")
    workflow = folder / WORKFLOWS / "ci.yml"
    text = workflow.read_text(encoding="utf-8")
    assert old in text
    workflow.write_text(text.replace(old, new), encoding="utf-8")
    assert says in "".join(linter(folder))


@pytest.mark.parametrize("combination", [None, *CORNERS], ids=lambda each: str(each or "template"))
def test_workflows_read_only_and_pin_what_they_use(
    bakery: Bakery, combination: Combination | None
) -> None:
    for path in (folder_of(bakery, combination) / WORKFLOWS).glob("*.yml"):
        workflow: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job.get("permissions", {"contents": "read"}) == {"contents": "read"}
            assert job["timeout-minutes"] <= (30 if combination else 75)
            used = [step["uses"] for step in job["steps"] if "uses" in step]
            assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)] == []


def captured(text: str, manager: dict[str, Any]) -> set[tuple[str, str]]:
    """Return package and version of what a manager of Renovate's finds in a text."""
    texts = [text]
    *outer, last = [pattern.replace("(?<", "(?P<") for pattern in manager["matchStrings"]]
    for pattern in outer:
        texts = [found[0] for each in texts for found in re.finditer(pattern, each)]
    return {
        (found["depName"], found["currentValue"])
        for each in texts
        for found in re.finditer(last, each)
    }


def found_by_renovate(folder: Path) -> set[tuple[str, str]]:
    """Return every package and version that the managers of a folder find in its files."""
    configuration = json.loads((folder / RENOVATE).read_text(encoding="utf-8"))
    files = {
        path.relative_to(folder).as_posix()
        for pattern in ("*.toml", "*.json", ".github/workflows/*.yml", "*/pyproject.toml")
        for path in folder.glob(pattern)
    }
    return {
        pair
        for manager in configuration["customManagers"]
        for file in files
        if any(re.search(p.strip("/"), file) for p in manager["managerFilePatterns"])
        for pair in captured((folder / file).read_text(encoding="utf-8"), manager)
    }


PIN = re.compile(r"""([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[a-z,]+\])?==([0-9][0-9A-Za-z.]*)""")


def pins_in(text: str) -> set[tuple[str, str]]:
    return set(PIN.findall(text))


def constraints_in(text: str) -> str:
    found = re.search(r"^constraint-dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    assert found
    return found[1]


def test_no_pin_of_a_project_goes_stale_unseen(bakery: Bakery) -> None:
    """Renovate takes up dependencies and groups by itself, and the rest as it is told to."""
    project = bakery.project(TEMPLATE.all_on())
    wanted = pins_in(constraints_in(project.read("pyproject.toml")))
    wanted |= pins_in(project.read(f"{WORKFLOWS}/ci.yml"))
    assert len(wanted) > 20
    assert wanted - found_by_renovate(project.path) == set()


def test_renovate_adds_the_digests_of_images(bakery: Bakery) -> None:
    """As the page about production says; none is in a bake, since each patch has another."""
    project = bakery.project(TEMPLATE.all_on())
    assert "docker:pinDigests" in json.loads(project.read(RENOVATE))["extends"]
    assert "Renovate" in project.read("docs/production.md")
    assert not any("@sha256:" in project.read(file) for file in ("Dockerfile", "compose.yaml"))


def test_no_pin_of_the_repository_goes_stale_unseen() -> None:
    wanted = pins_in((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    wanted |= pins_in((ROOT / WORKFLOWS / "ci.yml").read_text(encoding="utf-8"))
    for file in (ROOT / "pyproject.toml", TEMPLATE.source / "pyproject.toml"):
        wanted |= pins_in(constraints_in(file.read_text(encoding="utf-8")))
    assert len(wanted) > 40
    assert wanted - found_by_renovate(ROOT) == set()


def test_every_step_of_the_repository_s_workflows_runs_on_every_system() -> None:
    """Outside of Linux, a step is one program with its arguments, in any shell."""
    for path in (ROOT / WORKFLOWS).glob("*.yml"):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            if job["runs-on"] == "ubuntu-24.04":
                continue
            lines = [step["run"] for step in job["steps"] if "run" in step]
            assert lines
            assert [line for line in lines if not re.fullmatch(r"[\w ./=-]+", line)] == []


def test_the_repository_s_workflow_bakes_with_every_module() -> None:
    """Celery's worker does not support Windows, so one job leaves out what needs it."""
    text = (ROOT / WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
    named = [re.findall(r"(\w+)=yes", line) for line in text.splitlines() if "=yes" in line]
    without = [set(TEMPLATE.registry) - set(modules) for modules in named]
    assert sorted(without, key=len) == [set(), set(), {"handoff"}]


@pytest.mark.parametrize("combination", CORNERS, ids=str)
def test_the_hooks_and_the_workflow_make_the_same_checks(
    bakery: Bakery, combination: Combination
) -> None:
    project = bakery.project(combination)
    hooks = {
        re.sub(r"^uv run | ?--(?:env-file=\S+|force-exclude)", "", hook["entry"]).strip()
        for hook in project.hooks()
    }
    steps = yaml.safe_load(project.read(f"{WORKFLOWS}/ci.yml"))["jobs"]["checks"]["steps"]
    commands = [step.get("run", "") for step in steps]
    checks = {
        command.removeprefix("uv run ").removesuffix(" .")
        for command in commands
        if command.startswith("uv run ")
    }
    # The hook formats, the workflow only looks.
    assert {check.replace("format --check", "format") for check in checks} == hooks
    assert checks == {
        "ruff check",
        "ruff format --check",
        "mypy",
        "manage.py check",
        "manage.py makemigrations --check",
        *(
            check["command"]
            for module in combination.modules
            for check in TEMPLATE.registry[module].get("checks", [])
        ),
    }


@pytest.mark.parametrize("combination", CORNERS, ids=str)
def test_no_server_is_started_that_no_test_needs(bakery: Bakery, combination: Combination) -> None:
    """The tests of a project need no broker; those that do stay with the template."""
    jobs = yaml.safe_load(bakery.project(combination).read(f"{WORKFLOWS}/ci.yml"))["jobs"]
    assert {*jobs["servers"]["services"]} == {"postgres"}
