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
WORKFLOWS_OF_THE_REPOSITORY = sorted((ROOT / WORKFLOWS).glob("*.yml"))
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
        (zizmor, "@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v4", "unpinned-uses"),
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


# Renovate finds these by itself: files, and a line of theirs with a name and a version. From its
# manual, as far as there are such files here.
PACKAGE = r'"(?P<depName>[A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==(?P<currentValue>[0-9][^"; ]*)'
BY_ITSELF = {
    "pep621": (r"(^|/)pyproject\.toml$", PACKAGE),
    "github-actions": (
        r"(^|/)\.github/workflows/.+\.yml$",
        r"uses: (?P<depName>[\w./-]+)@(?P<currentValue>[0-9a-f]{40}) # v[0-9.]+$",
    ),
    "dockerfile": (
        r"(^|/)Dockerfile$",
        r"^(?:FROM|# syntax=) *(?P<depName>[a-z/]+):(?P<currentValue>[a-z0-9.-]+)",
    ),
    "docker-compose": (
        r"^compose\.yaml$",
        r"^ +image: (?P<depName>[a-z/]+):(?P<currentValue>[a-z0-9.-]+)",
    ),
    "services": (
        r"(^|/)\.github/workflows/.+\.yml$",
        r"^ +image: (?P<depName>[a-z/]+):(?P<currentValue>[a-z0-9.-]+)",
    ),
}
# Anything that gets old, whatever keeps it up to date.
KINDS = {
    "package": re.compile(r"""([A-Za-z0-9][\w.-]*)(?:\[[a-z,-]+\])?==([0-9][0-9A-Za-z.]*)"""),
    "action": re.compile(r"uses: ([\w./-]+)@([0-9a-f]{40})"),
    "image": re.compile(
        r"""(?:\bimage"?: "?|^FROM |^# syntax=)([a-z][a-z/]*):([a-z0-9][a-z0-9.-]*)""", re.M
    ),
    "matrix": re.compile(r"""\b(python): \[.*"(3\.\d+)"\]"""),
}
Pin = tuple[str, str, str]


def captured(text: str, manager: dict[str, Any]) -> set[tuple[str, str]]:
    """Return package and version of what a manager of Renovate's finds in a text."""
    texts = [text]
    *outer, last = [pattern.replace("(?<", "(?P<") for pattern in manager["matchStrings"]]
    for pattern in outer:
        texts = [found[0] for each in texts for found in re.finditer(pattern, each)]
    return {
        (manager.get("depNameTemplate") or found["depName"], found["currentValue"])
        for each in texts
        for found in re.finditer(last, each, re.M)
    }


def kept_by_renovate(configuration: dict[str, Any], files: dict[str, str]) -> set[Pin]:
    """Return file, name and version of every pin that a configuration has Renovate find."""
    managers = list(configuration.get("customManagers", []))
    if "config:recommended" in configuration["extends"]:
        managers += [
            {"managerFilePatterns": [f"/{pattern}/"], "matchStrings": [line]}
            for pattern, line in BY_ITSELF.values()
        ]
    return {
        (file, *pair)
        for manager in managers
        for file, text in files.items()
        if any(re.search(each[1:-1], file) for each in manager["managerFilePatterns"])
        for pair in captured(text, manager)
    }


def pins_in(files: dict[str, str], kind: str) -> set[Pin]:
    return {(file, *found) for file, text in files.items() for found in KINDS[kind].findall(text)}


def files_of_the_repository() -> dict[str, str]:
    """Return the files that pin something; the tests name many a version that is none."""
    paths = [ROOT / "pyproject.toml", ROOT / "cookiecutter.json", ROOT / "benchmarks/audit.py"]
    paths += [ROOT / "tests/support/packages.py", *WORKFLOWS_OF_THE_REPOSITORY]
    paths += [TEMPLATE.source / file for file in ("pyproject.toml", "compose.yaml", "Dockerfile")]
    paths += sorted((TEMPLATE.source / WORKFLOWS).glob("*.yml"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def files_of_a_project(bakery: Bakery) -> dict[str, str]:
    texts = bakery.project(TEMPLATE.all_on()).texts()
    return {file: text for file, text in texts.items() if not file.startswith(("apps/", "docs/"))}


def configuration_of(folder: Path) -> dict[str, Any]:
    configuration: dict[str, Any] = json.loads((folder / RENOVATE).read_text(encoding="utf-8"))
    return configuration


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("owner", ["repository", "project"])
def test_no_pin_goes_stale_unseen(bakery: Bakery, owner: str, kind: str) -> None:
    ours = owner == "repository"
    files = files_of_the_repository() if ours else files_of_a_project(bakery)
    folder = ROOT if ours else bakery.project(TEMPLATE.all_on()).path
    wanted = pins_in(files, kind)
    assert wanted
    assert wanted - kept_by_renovate(configuration_of(folder), files) == set()


@pytest.mark.parametrize("owner", ["repository", "project"])
def test_renovate_may_look_everywhere_and_pins_digests(bakery: Bakery, owner: str) -> None:
    project = bakery.project(TEMPLATE.all_on())
    configuration = configuration_of(ROOT if owner == "repository" else project.path)
    assert not {"enabledManagers", "includePaths", "ignoreDeps"} & configuration.keys()
    assert configuration["poetry"]["enabled"] is False
    # The recommended configuration leaves out the folders of tests.
    assert configuration.get("ignorePaths") == ([] if owner == "repository" else None)
    assert configuration["pre-commit"]["enabled"] is True
    assert {"docker:pinDigests", "helpers:pinGitHubActionDigests"} <= set(configuration["extends"])


@pytest.mark.parametrize("owner", ["repository", "project"])
def test_a_hook_runs_what_is_pinned_as_a_package(bakery: Bakery, owner: str) -> None:
    """So it names no version, and Renovate finds those that owners add."""
    project = bakery.project(TEMPLATE.all_on())
    folder = ROOT if owner == "repository" else project.path
    text = (folder / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    repositories = yaml.safe_load(text)["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert hooks
    assert all(hook["language"] == "system" for hook in hooks)
    assert all(hook["entry"].startswith("uv run ") for hook in hooks)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pin_that_nothing_finds_is_noticed(bakery: Bakery, kind: str) -> None:
    files = files_of_a_project(bakery)
    configuration = configuration_of(bakery.project(TEMPLATE.all_on()).path)
    broken = (
        {"extends": []} if kind in ("action", "image") else {**configuration, "customManagers": []}
    )
    assert pins_in(files, kind) - kept_by_renovate(broken, files)


def test_a_later_python_is_added_to_the_matrix(bakery: Bakery) -> None:
    """Renovate puts its template in the place of what it found."""
    for folder in (ROOT, bakery.project(TEMPLATE.all_on()).path):
        (manager,) = [
            each
            for each in configuration_of(folder)["customManagers"]
            if each.get("depNameTemplate") == "python"
        ]
        (pattern,) = manager["matchStrings"]
        text = (folder / WORKFLOWS / "ci.yml").read_text(encoding="utf-8")
        found = re.search(pattern.replace("(?<", "(?P<"), text)
        assert found
        new = manager["autoReplaceStringTemplate"]
        new = new.replace("{{{currentValue}}}", found["currentValue"])
        text = text.replace(found[0], new.replace("{{{newValue}}}", "3.99"), 1)
        matrices = [
            job.get("strategy", {}).get("matrix", {})
            for job in yaml.safe_load(text)["jobs"].values()
        ]
        (longer,) = [each["python"] for each in matrices if "3.99" in each.get("python", [])]
        assert longer[-3:] == ["3.14", found["currentValue"], "3.99"]


def test_renovate_adds_the_digests_of_images(bakery: Bakery) -> None:
    """As the page about production says; none is in a bake, since each patch has another."""
    project = bakery.project(TEMPLATE.all_on())
    assert "docker:pinDigests" in json.loads(project.read(RENOVATE))["extends"]
    assert "Renovate" in project.read("docs/production.md")
    assert not any("@sha256:" in project.read(file) for file in ("Dockerfile", "compose.yaml"))


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
