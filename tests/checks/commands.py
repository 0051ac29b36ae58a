"""Checks that run a project's own tools; each returns what is wrong, an empty list when nothing is."""

import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.checks import inside
from tests.checks.inside import DEVELOPMENT
from tests.support.programs import run
from tests.support.project import BakedProject, requirement_name

# Of these files, a test need not run a statement.
NO_STATEMENTS = "*/tests/*,*/migrations/*,*/conftest.py"
NONE: Mapping[str, str] = {}


def ruff_check(project: BakedProject) -> list[str]:
    """The linter has nothing to say."""
    return project.faults_of("ruff", "check", "--no-cache", ".")


def ruff_format(project: BakedProject) -> list[str]:
    """The formatter has nothing to change; it is not let change anything first."""
    return project.faults_of("ruff", "format", "--no-cache", "--check", ".")


def django_check(project: BakedProject) -> list[str]:
    """Django's checks are silent, warnings included."""
    return inside.faults(project, "django_check")


def missing_migrations(project: BakedProject) -> list[str]:
    """The migrations say what the models say."""
    return inside.faults(project, "missing_migrations")


def own_checks(project: BakedProject) -> list[str]:
    """The modules' own checks pass, in development and in production alike."""
    return list(dict.fromkeys(inside.faults(project, "own_checks")))  # what both say, once


def deployment(project: BakedProject) -> list[str]:
    """Django has no warning about the settings of production."""
    return inside.faults(project, "deployment")


def own_tests(
    project: BakedProject,
    *,
    servers: bool = False,
    options: Sequence[str] = (),
    variables: Mapping[str, str] = NONE,
    measured: Path | None = None,
) -> list[str]:
    """The project's tests pass, with warnings as errors and without a .env.

    Args:
        project: the project to look at.
        servers: whether its tests may find the servers of this machine; most people have none.
        options: further arguments of pytest, such as the folders to look at.
        variables: what the environment holds, nothing by default.
        measured: the file to write down which statements of the modules ran; none by default.
    """
    strict = project.pyproject["tool"]["pytest"]["filterwarnings"] == ["error"]
    faults = [] if strict else ["pyproject.toml lets warnings of pytest pass"]
    environment = {"DEBUG": "", "DATABASE_URL": "", **variables}
    if not servers:
        environment |= unreachable(project)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    if measured:
        environment |= {"COVERAGE_CORE": "sysmon", "COVERAGE_FILE": str(measured)}
        words = ["-m", "coverage", "run", "--source=apps", f"--omit={NO_STATEMENTS}", *words]
    return faults + project.faults_of("python", *words, **environment)


def unreachable(project: BakedProject) -> dict[str, str]:
    """Return the addresses of servers that the project's tests read, at a port without a server."""
    reads = re.compile(r"""["'](TEST_\w+_URL)["'],\s*["'](\w+)://""")
    found = [pair for text in project.texts().values() for pair in reads.findall(text)]
    return {name: f"{scheme}://127.0.0.1:9/" for name, scheme in found}


def types(project: BakedProject) -> list[str]:
    """The type checker has nothing to say."""
    # A cache of another project saves nothing: the settings, on which all depends, differ.
    return project.faults_of("mypy", "--cache-dir=/dev/null", ".")


def unpinned(project: BakedProject) -> list[str]:
    """Every package of the lock file is pinned, directly or as a constraint.

    The project needs a ``uv.lock``, so only a fresh one can be asked.
    """
    lock = tomllib.loads(project.read("uv.lock"))
    own = requirement_name(project.pyproject["project"]["name"])
    names = {package["name"] for package in lock["package"]} - {own}
    return [
        f"pyproject.toml pins no version of {name}"
        for name in sorted(names - {name for name, pinned in project.pins().items() if pinned})
    ]


def pre_commit(project: BakedProject, **variables: str) -> list[str]:
    """All hooks of pre-commit pass and change nothing.

    The project becomes a git repository, so the check needs a copy of the project.

    Args:
        project: the project to look at.
        variables: further variables of the environment.
    """
    config = ".pre-commit-config.yaml"
    faults = project.faults_of("pre-commit", "validate-config", config)
    if not (project.path / ".git").exists():
        for command in (["git", "init", "--quiet"], ["git", "add", "--all"]):
            run(command, folder=project.path)
    with tempfile.TemporaryDirectory() as home:
        faults += project.faults_of(
            "pre-commit", "run", "--all-files", PRE_COMMIT_HOME=home, **DEVELOPMENT, **variables
        )
    changed = run(["git", "diff", "--stat"], folder=project.path).stdout
    return [*faults, f"the hooks changed files:\n{changed}"] if changed else faults
