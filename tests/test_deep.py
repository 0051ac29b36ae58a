"""The deep tests of the modules: with the module alone, with all, and on the servers.

Tests with thousands of writes or a million rows are in test_audit_rebuilding.py and
test_audit_long_trail.py, once for each database.
"""

from pathlib import Path

import pytest

from tests.checks import commands
from tests.checks.check import Check, expect_none
from tests.support.bakery import Bakery
from tests.support.deep import DEEP, folder_of, modules_with_deep_tests, plant
from tests.support.project import BakedProject
from tests.support.template import TEMPLATE, Combination

pytestmark = pytest.mark.whole

MODULES = modules_with_deep_tests()
# On PostgreSQL these take minutes, and run with all modules.
FOR_LONG = ("audit", "handoff")
FOLDERS = [folder_of(module) for module in MODULES]
CHECKS: list[Check] = [commands.ruff_check, commands.ruff_format, commands.types]


def test_every_folder_is_that_of_a_module() -> None:
    folders = [path.name for path in DEEP.iterdir() if path.is_dir()]
    assert set(folders) <= {"core", "accounts", *TEMPLATE.registry}
    assert sorted(folders) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_alone(bakery: Bakery, tmp_path: Path, module: str) -> None:
    """On SQLite, where no server can be reached."""
    combination = Combination((module,) if module in TEMPLATE.registry else ())
    project = plant(bakery.copy(bakery.project(combination), tmp_path / "my_project"))
    expect_none(commands.own_tests(project, options=[folder_of(module)]))


@pytest.mark.parametrize("module", [each for each in MODULES if each not in FOR_LONG])
@pytest.mark.parametrize("database_url", ["PostgreSQL"], indirect=True)
def test_a_module_alone_on_postgresql(
    bakery: Bakery, tmp_path: Path, module: str, database_url: str
) -> None:
    combination = Combination((module,) if module in TEMPLATE.registry else ())
    project = plant(bakery.copy(bakery.project(combination), tmp_path / "my_project"))
    variables = {"DATABASE_URL": database_url}
    expect_none(commands.own_tests(project, options=[folder_of(module)], variables=variables))


def test_all_modules(all_on: BakedProject, database_url: str) -> None:
    """On SQLite without servers, and on PostgreSQL with all of them."""
    project = plant(all_on)
    servers = {"DATABASE_URL": database_url, "REQUIRE_SERVICES": "1"} if database_url else {}
    expect_none(
        commands.own_tests(project, options=FOLDERS, servers=bool(servers), variables=servers)
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_checks_of_a_project_pass(all_on: BakedProject, check: Check) -> None:
    expect_none(check(plant(all_on)))
