"""Every combination of modules: what the bake wrote, and what the project's own tools say."""

from pathlib import Path

import pytest

from tests.checks import commands, containers, content, contract, names
from tests.checks.check import Check, expect_none
from tests.support.bakery import Bakery
from tests.support.template import TEMPLATE, Combination

COMBINATIONS = TEMPLATE.combinations()

CHECKS: list[Check] = [
    content.file_set,
    content.leftovers,
    content.traces,
    content.undocumented_variables,
    names.dangling,
    containers.containers,
    commands.ruff_check,
    commands.ruff_format,
    commands.django_check,
    commands.missing_migrations,
    commands.own_checks,
    commands.deployment,
]


def test_the_matrix_has_every_combination_once() -> None:
    assert len({str(combination) for combination in COMBINATIONS}) == 2 ** len(TEMPLATE.registry)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_own_tests(bakery: Bakery, combination: Combination) -> None:
    expect_none(contract.own_tests(bakery.project(combination)))


@pytest.mark.parametrize("module", ["core", "accounts", *TEMPLATE.registry])
def test_the_tests_of_a_module_alone_cover_it(bakery: Bakery, module: str) -> None:
    chosen = (module,) if module in TEMPLATE.registry else ()
    expect_none(contract.uncovered(bakery.project(Combination(chosen)), module))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_project(bakery: Bakery, combination: Combination, check: Check) -> None:
    expect_none(check(bakery.project(combination)))


def test_a_copy_has_nothing_of_tests_that_run_in_the_project(
    bakery: Bakery, tmp_path: Path
) -> None:
    """Other processes run tests while one copies the project, and write files there."""
    project = bakery.bake(TEMPLATE, Combination(()))
    for name in ("test.sqlite3", "test.sqlite3-wal", "apps/__pycache__/core.pyc"):
        (project.path / name).parent.mkdir(exist_ok=True)
        (project.path / name).touch()
    copy = bakery.copy(project, tmp_path / "my_project")
    written = {path.relative_to(copy.path).as_posix() for path in copy.path.rglob("*")}
    assert project.files <= written
    assert not [name for name in written if "test.sqlite3" in name or "__pycache__" in name]
