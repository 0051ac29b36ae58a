"""Bakes projects, each at most once in a test run, and builds what their checks need."""

import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_cookies.plugin import Cookies

from tests.support.once import once
from tests.support.programs import UV, PythonEnvironment, clean_environment, run
from tests.support.project import BakedProject, files_in
from tests.support.template import (
    CACHE,
    CACHE_FOLDERS,
    ROOT,
    TEMPLATE,
    Combination,
    Template,
)

# The project's commands are development's, wherever its database file would get in the way.
DEVELOPMENT = {"DEBUG": "1", "DATABASE_URL": "sqlite://:memory:"}


class BakeError(Exception):
    """A bake that failed, with what cookiecutter said."""


@dataclass(frozen=True)
class Bakery:
    """Where projects come from; one for all test processes of a run.

    ``folder`` belongs to the run and is shared by its processes.
    """

    cookies: Cookies
    folder: Path

    def project(self, combination: Combination) -> BakedProject:
        """Return the project of a combination of the template itself."""
        return self.bake_once(TEMPLATE, combination)

    def bake_once(self, template: Template, combination: Combination) -> BakedProject:
        """Return the project of a combination with the default answers; it is baked once.

        No test may change it; ``bake`` and ``copy`` give one that may be.
        """
        key = "" if template is TEMPLATE else f"-{template.root.parent.name}"
        folder = self.folder / "baked" / f"{combination}{key}"
        once(folder, lambda to: self._bake(template, combination, to))
        return BakedProject(
            path=folder / "my_project",
            template=template,
            combination=combination,
            files=frozenset(json.loads((folder / "files.json").read_text(encoding="utf-8"))),
            environment=self.environment(),
            kept=folder,
        )

    def bake(self, template: Template, combination: Combination, **answers: str) -> BakedProject:
        """Bake a project for one test alone, from any template and with any answers.

        Raises:
            BakeError: when cookiecutter refuses or fails.
        """
        path = self._baked_folder(template, combination, answers)
        return BakedProject(path, template, combination, files_in(path), self.environment())

    def fresh(self, combination: Combination) -> BakedProject:
        """Return a copy of a project after its own ``uv sync``, as its user would have it."""
        baked = self.project(combination)
        folder = self.folder / "fresh" / str(combination)
        once(folder, lambda to: _install_copy(baked.path, to))
        return replace(baked, path=folder, environment=own_environment(folder), kept=None)

    def installed_copy(self, baked: BakedProject, folder: Path) -> BakedProject:
        """Return a copy of a project, in a new folder, after its own ``uv sync``."""
        _install_copy(baked.path, folder)
        return replace(baked, path=folder, environment=own_environment(folder), kept=None)

    def copy(self, baked: BakedProject, folder: Path) -> BakedProject:
        """Return a copy of a project, in a new folder."""
        _copy(baked.path, folder)
        return replace(baked, path=folder, kept=None)

    def environment(self, beside: Sequence[str] = ()) -> PythonEnvironment:
        """Return an environment in which every combination runs.

        It is kept for later runs, until the packages of the all-on project change, or those that
        the tests add.

        Args:
            beside: the pins of further packages, for a project that uses them.
        """
        source = self._all_on_source()
        packages = [
            (source / "pyproject.toml").read_bytes(),
            sys.version.encode(),
            "\n".join([*_packages_of_the_tests(), *beside]).encode(),
        ]
        key = hashlib.sha256(b"\n".join(packages)).hexdigest()[:16]
        folder = CACHE / "environments" / key
        once(folder, lambda to: _install(source, to, beside))
        return PythonEnvironment(folder, DEVELOPMENT)

    def _bake(self, template: Template, combination: Combination, to: Path) -> None:
        baked = self._baked_folder(template, combination, {})
        to.mkdir(parents=True)
        shutil.move(baked, to / "my_project")
        files = sorted(files_in(to / "my_project"))
        (to / "files.json").write_text(json.dumps(files), encoding="utf-8")

    def _baked_folder(
        self, template: Template, combination: Combination, answers: dict[str, str]
    ) -> Path:
        chosen = {name: name in combination.modules for name in template.registry}
        result = self.cookies.bake({**answers, **chosen}, template=str(template.root))
        if result.exception is not None:
            raise BakeError(str(result.exception)) from result.exception
        path: Path = result.project_path
        return path

    def _all_on_source(self) -> Path:
        all_on = TEMPLATE.all_on()
        folder = self.folder / "baked" / str(all_on)
        return once(folder, lambda to: self._bake(TEMPLATE, all_on, to)) / "my_project"


def own_environment(project: Path) -> PythonEnvironment:
    """Return the environment that lies in a project's folder, as its user would use it.

    Unlike everybody's it is not compiled beforehand, so its programs may do that as they go.
    """
    return PythonEnvironment(project / ".venv", {"PYTHONDONTWRITEBYTECODE": ""})


def _install(source: Path, to: Path, beside: Sequence[str]) -> None:
    """Install the packages of a project into an environment outside it."""
    stage = to.with_name(f"{to.name}-project")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    shutil.copy(source / "pyproject.toml", stage)
    # With what production adds, since documents and configuration name its programs.
    _sync(
        stage,
        "--group=production",
        f"--python={sys.executable}",
        UV_PROJECT_ENVIRONMENT=str(to),
        UV_COMPILE_BYTECODE="1",
    )
    _add_packages_of_the_tests(stage, to, beside)


def _packages_of_the_tests() -> list[str]:
    """Return the pins of what runs inside a project with its tests."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins: list[str] = settings["dependency-groups"]["inside"]
    return pins


def _add_packages_of_the_tests(stage: Path, to: Path, beside: Sequence[str]) -> None:
    """Install what runs inside a project with its tests, less the programs that come with it.

    Those would be found where a document names a program that no package of a project brings.
    """
    shutil.copy(ROOT / "pyproject.toml", stage)  # for its constraints
    programs = set((to / "bin").iterdir())
    pins = [*_packages_of_the_tests(), *beside]
    done = run(
        [UV, "pip", "install", "--python", to, "--compile-bytecode", *pins],
        folder=stage,
        environment=clean_environment(),
    )
    if done.returncode:
        raise BakeError(f"uv pip install failed in {stage}:\n{done.stderr}")
    for program in set((to / "bin").iterdir()) - programs:
        program.unlink()


def _install_copy(source: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    _copy(source, to)
    _sync(to)


def _copy(source: Path, to: Path) -> None:
    """Copy a project, less what tests that run in it at the same moment write and remove."""
    shutil.copytree(source, to, ignore=shutil.ignore_patterns("test.sqlite3*", *CACHE_FOLDERS))


def _sync(folder: Path, *options: str, **variables: str) -> None:
    done = run([UV, "sync", *options], folder=folder, environment=clean_environment(**variables))
    if done.returncode:
        raise BakeError(f"uv sync failed in {folder}:\n{done.stderr}")
