"""A real ``uv sync`` for the corners of the matrix, so that an undeclared import cannot hide."""

import shutil

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.programs import clean_environment, run
from tests.support.template import TEMPLATE, Combination

ALL_ON_AND_OFF = [TEMPLATE.all_on(), Combination(())]


@pytest.mark.parametrize("combination", TEMPLATE.corners(), ids=str)
def test_own_tests(bakery: Bakery, combination: Combination) -> None:
    expect_none(commands.own_tests(bakery.fresh(combination)))


@pytest.mark.parametrize("combination", ALL_ON_AND_OFF, ids=str)
def test_pre_commit(bakery: Bakery, combination: Combination) -> None:
    expect_none(commands.pre_commit(bakery.fresh(combination)))


@pytest.mark.parametrize("combination", ALL_ON_AND_OFF, ids=str)
def test_the_lock_file_is_made_from_pins_only(bakery: Bakery, combination: Combination) -> None:
    expect_none(commands.unpinned(bakery.fresh(combination)))


def test_uv_finds_nothing_else_to_do(bakery: Bakery) -> None:
    """A second ``uv sync`` changes nothing: the first command of the README is enough."""
    project = bakery.fresh(TEMPLATE.all_on())
    uv = shutil.which("uv", path=clean_environment()["PATH"])
    assert uv
    done = run([uv, "sync", "--locked", "--check"], folder=project.path)
    assert done.returncode == 0, done.stderr
