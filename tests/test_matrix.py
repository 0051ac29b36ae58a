"""Every combination of modules: what the bake wrote, and what the project's own tools say."""

import pytest

from tests.checks import commands, containers, content, names
from tests.checks.check import Check, expect_none
from tests.support.bakery import Bakery
from tests.support.template import TEMPLATE, Combination

COMBINATIONS = TEMPLATE.combinations()
CORNERS = TEMPLATE.corners()

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
    commands.signal_map,
    commands.deployment,
]


def test_the_matrix_has_every_combination_once() -> None:
    assert len({str(combination) for combination in COMBINATIONS}) == 2 ** len(TEMPLATE.registry)


# The corners run their tests and their type checker in environments of their own: see
# test_first_day.py.
@pytest.mark.parametrize(
    "combination", [each for each in COMBINATIONS if each not in CORNERS], ids=str
)
def test_own_tests(bakery: Bakery, combination: Combination) -> None:
    """The slow ones, about a module by itself, run in the corners: see test_first_day.py."""
    expect_none(commands.own_tests(bakery.project(combination), brief=True))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_project(bakery: Bakery, combination: Combination, check: Check) -> None:
    expect_none(check(bakery.project(combination)))
