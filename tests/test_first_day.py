"""The first day of a project: its first commit with all hooks, and every step of its CI.

The project is a fresh clone: it has no .env, and its environment is what ``uv sync`` makes.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.project import BakedProject
from tests.support.pythons import interpreter_of
from tests.support.releases import Workplace
from tests.support.services import require_services
from tests.support.template import TEMPLATE, Combination
from tests.support.workflow import Job, jobs

WORKFLOW = Path(".github/workflows/ci.yml")
CORNERS = TEMPLATE.corners()
ALL_ON = TEMPLATE.all_on()
PYTHONS = ["3.12", "3.13", "3.14", "3.15"]
DEFAULT = f"{sys.version_info.major}.{sys.version_info.minor}"


def job_of(project: BakedProject, name: str, **matrix: str) -> Job:
    (job,) = [
        job for job in jobs(project.path / WORKFLOW) if (job.name, job.matrix) == (name, matrix)
    ]
    return job


def alone(project: BakedProject) -> dict[str, str]:
    """Return variables that lead to no server, since a runner has none but those of the job."""
    return commands.unreachable(project)


@pytest.mark.whole
@pytest.mark.parametrize("combination", CORNERS, ids=str)
def test_the_first_commit_and_the_checks(
    bakery: Bakery, tmp_path: Path, combination: Combination
) -> None:
    """``git init``, ``pre-commit install``, one commit with everything, then the job of checks."""
    project = bakery.fresh(combination)
    workplace = Workplace(tmp_path)
    assert not (project.path / ".env").exists()
    workplace.git("init", "--quiet", folder=project.path)
    uv_run = ("uv", "run", "pre-commit")
    installed = workplace.run(*uv_run, "install", folder=project.path)
    assert installed.returncode == 0, installed.stderr
    workplace.git("add", "--all", folder=project.path)

    done = workplace.run(
        "git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-m", "First",
        folder=project.path,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    hooks = [hook["name"] for hook in project.hooks()]
    said = done.stdout + done.stderr
    assert [name for name in hooks if not re.search(rf"^{name}\.+Passed$", said, re.M)] == []
    committed = workplace.git("ls-files", folder=project.path).split("\n")
    assert set(committed) - {""} == project.files | {"uv.lock"}
    assert workplace.git("status", "--porcelain", folder=project.path) == ""
    expect_none(job_of(project, "checks").run(project.path, environment={}))
    shutil.copy(project.path / ".env.example", project.path / ".env")
    for file in ("db.sqlite3", "db.sqlite3-wal", "var/media/x", "staticfiles/x"):
        (project.path / file).parent.mkdir(parents=True, exist_ok=True)
        (project.path / file).touch()
    assert workplace.git("status", "--porcelain", folder=project.path) == ""


@pytest.mark.whole
@pytest.mark.parametrize("combination", CORNERS, ids=str)
def test_the_tests(bakery: Bakery, combination: Combination) -> None:
    """On the Python that runs the tests of the template."""
    project = bakery.fresh(combination)
    expect_none(
        job_of(project, "tests", python=DEFAULT).run(project.path, environment=alone(project))
    )


@pytest.mark.whole
@pytest.mark.parametrize("version", [version for version in PYTHONS if version != DEFAULT])
def test_the_tests_on_another_python(bakery: Bakery, tmp_path: Path, version: str) -> None:
    """With all modules, in a new environment."""
    python = interpreter_of(version)
    if python is None:
        pytest.skip(f"Python {version} cannot be found on this machine")
    project = bakery.copy(bakery.project(ALL_ON), tmp_path / "my_project")
    job = job_of(project, "tests", python=version)
    expect_none(job.run(project.path, environment={**alone(project), "UV_PYTHON": str(python)}))
    made = (project.path / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
    assert f"version_info = {version}." in made


@pytest.mark.whole
@pytest.mark.parametrize("combination", CORNERS, ids=str)
def test_the_tests_on_servers(bakery: Bakery, combination: Combination) -> None:
    """On PostgreSQL, and with all modules on the others too."""
    require_services()
    project = bakery.fresh(combination)
    expect_none(job_of(project, "servers").run(project.path, environment={}))


def test_no_job_is_left_out(bakery: Bakery) -> None:
    project = bakery.project(ALL_ON)
    assert {str(job) for job in jobs(project.path / WORKFLOW)} == {
        "checks",
        "servers",
        "vulnerabilities",
        *(f"tests-{version}" for version in PYTHONS),
    }


def job(**content: Any) -> Job:
    return Job("job", {"steps": [{"run": "true"}], **content}, {"python": "3.13"})


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (job(steps=[{"uses": "someone/else@0"}]), "do not know job-3.13: uses someone/else"),
        (job(steps=[{"run": "true"}, {"run": "echo no; false; true"}]), "ended with 1:\nno"),
        (job(steps=[{"run": "false | true"}]), "ended with 1"),
        (job(steps=[{"run": "true", "if": "false"}]), "do not know job-3.13: if of a step"),
        (job(steps=[{"name": "Nothing"}]), "a step that does nothing"),
        (job(steps=[{"run": "pipx install uv==0.0.1"}]), "differs from the uv"),
        (job(container="debian"), "do not know job-3.13: container"),
        (job(services={"x": {"image": "mysql:9", "ports": ["1:1"]}}), "the service x, mysql:9"),
    ],
)
def test_what_a_runner_would_refuse_or_do_otherwise_is_noticed(
    tmp_path: Path, broken: Job, says: str
) -> None:
    (fault,) = broken.run(tmp_path, environment={})
    assert says in fault


def test_an_unknown_expression_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"secrets\.TOKEN"):
        job(steps=[{"run": "echo ${{ secrets.TOKEN }}"}]).run(tmp_path, environment={})
    known = job(steps=[{"run": 'test "${{ matrix.python }}" = 3.13'}])
    assert known.run(tmp_path, environment={}) == []
