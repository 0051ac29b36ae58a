"""The deep tests of the modules, which stay with the template, and projects to run them in."""

import shutil
from dataclasses import replace

from tests.support.project import BakedProject, files_in
from tests.support.template import ROOT

DEEP = ROOT / "tests" / "deep"


def modules_with_deep_tests() -> list[str]:
    """List the modules that have deep tests, those that every project has among them."""
    return sorted(path.name for path in DEEP.iterdir() if any(path.glob("*.py")))


def folder_of(module: str) -> str:
    """Return where a project has the deep tests of a module."""
    return f"apps/{module}/tests/deep"


def plant(project: BakedProject) -> BakedProject:
    """Copy the deep tests of a project's modules into it, a copy that belongs to one test.

    Returns:
        The project with their files among its own.
    """
    for module in modules_with_deep_tests():
        if (project.path / "apps" / module).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(DEEP / module, project.path / folder_of(module), ignore=ignored)
    return replace(project, files=files_in(project.path))
