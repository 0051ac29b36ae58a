"""Django's own test suite, run with every model audited: see planted/audited_suite.py."""

import fcntl
import json
import os
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.once import once
from tests.support.programs import UV, run
from tests.support.project import BakedProject, faults_in
from tests.support.template import CACHE, ROOT

PLANTED = ROOT / "tests" / "support" / "planted"


@dataclass(frozen=True)
class SuiteRun:
    """The result of one run of Django's tests.

    ``failures`` maps the dotted path of each test that failed to what it said.
    """

    tests: int
    audited: int
    refused: dict[str, str]
    failures: dict[str, str]

    def __str__(self) -> str:
        models = self.audited + len(self.refused)
        return (
            f"{self.tests} tests of Django's ran; {self.audited} of {models} models were audited,"
            f" not {', '.join(self.refused)}."
        )


def tests_of_django(project: BakedProject) -> Path:
    """Return the folder of the tests of the Django that a project pins; it is fetched once.

    The test is skipped where its archive cannot be had; with REQUIRE_SERVICES it fails instead.
    """
    pins = [line for line in project.pyproject["project"]["dependencies"] if "django==" in line]
    requirement = pins[0]
    folder = CACHE / "django" / requirement.partition("==")[2]
    try:
        return once(folder, lambda to: _fetch(requirement, to)) / "tests"
    except FileNotFoundError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            pytest.fail(f"REQUIRE_SERVICES is set, and {error}")
        pytest.skip(str(error))


def run_suite(project: BakedProject, folders: list[str], database_url: str, to: Path) -> SuiteRun:
    """Run some folders of Django's tests with the audit trail of a project.

    Args:
        project: a project with the module ``audit``.
        folders: names of folders in Django's folder of tests.
        database_url: a new PostgreSQL database; empty for SQLite in memory.
        to: a folder for what the tests write.
    """
    result = to / "result.json"
    variables = {
        "DATABASE_URL": database_url or "sqlite://:memory:",
        "PROJECT": str(project.path),
        "PYTHONPATH": str(PLANTED),
        "RESULT": str(result),
    }
    command = ["python", "runtests.py", "--settings=audited_suite", "--noinput", "--parallel=1"]
    tests = tests_of_django(project)
    with (CACHE / "django" / "server.lock").open("w") as lock:
        if database_url:
            # A server has no room for the locks of two runs, which make a thousand tables each.
            fcntl.flock(lock, fcntl.LOCK_EX)
        done = project.environment.run(*command, *folders, folder=tests, variables=variables)
    assert result.exists(), "\n".join(faults_in(command, done))
    content: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return SuiteRun(**content)


def _fetch(requirement: str, to: Path) -> None:
    """Fetch the archive of Django's source by pip, since wheels have no tests, and unpack these.

    Raises:
        FileNotFoundError: when it cannot be had.
    """
    pip: list[str | Path] = [UV, "tool", "run", "--python", sys.executable, "pip==26.3"]
    what = ["download", "--no-deps", "--no-binary=django", f"--dest={to}", requirement]
    done = run([*pip, *what], folder=ROOT)
    archives = list(to.glob("*.tar.gz"))
    if done.returncode or not archives:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason was given"]
        raise FileNotFoundError(f"the source of {requirement} cannot be fetched: {last[0]}")
    with tarfile.open(archives[0]) as archive:
        top = archives[0].name.removesuffix(".tar.gz")
        for member in archive:
            member.name = member.name.removeprefix(f"{top}/")
            if member.name.startswith("tests/"):
                archive.extract(member, to, filter="data")
    archives[0].unlink()
