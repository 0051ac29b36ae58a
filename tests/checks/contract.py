"""A project's own tests are worth something: they pass, and they cover their module."""

import json
from pathlib import Path

from tests.checks import commands
from tests.support.once import once
from tests.support.project import BakedProject

LEAST = 85  # percent of the statements of a module


def own_tests(project: BakedProject) -> list[str]:
    """The tests of a project that never changes pass; they run once."""
    faults: list[str] = json.loads((_ran(project) / "faults.json").read_text(encoding="utf-8"))
    return faults


def uncovered(project: BakedProject, module: str) -> list[str]:
    """The tests of a project cover what its modules promise: see ``LEAST``."""
    return project.faults_of(
        *("python", "-m", "coverage", "report", f"--fail-under={LEAST}", "--show-missing"),
        f"--include=apps/{module}/*",
        COVERAGE_FILE=str(_ran(project) / "coverage"),
    )


def _ran(project: BakedProject) -> Path:
    """Run the tests; what they cover is of interest where a module has no other beside it."""
    assert project.kept
    return once(project.kept / "tests", lambda to: _run(project, to))


def _run(project: BakedProject, to: Path) -> None:
    to.mkdir(exist_ok=True)
    alone = len(project.combination.modules) <= 1
    faults = commands.own_tests(project, measured=to / "coverage" if alone else None)
    (to / "faults.json").write_text(json.dumps(faults), encoding="utf-8")
