"""A real ``uv sync``: what it installs is pinned, and it is enough. See test_first_day.py for more."""

import shutil

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.programs import clean_environment, run
from tests.support.template import TEMPLATE, Combination

ALL_ON_AND_OFF = [TEMPLATE.all_on(), Combination(())]


@pytest.mark.whole
@pytest.mark.parametrize("combination", ALL_ON_AND_OFF, ids=str)
def test_the_lock_file_is_made_from_pins_only(bakery: Bakery, combination: Combination) -> None:
    expect_none(commands.unpinned(bakery.fresh(combination)))


@pytest.mark.whole
def test_uv_finds_nothing_else_to_do(bakery: Bakery) -> None:
    """A second ``uv sync`` changes nothing: the first command of the README is enough."""
    project = bakery.fresh(TEMPLATE.all_on())
    uv = shutil.which("uv", path=clean_environment()["PATH"])
    assert uv
    done = run([uv, "sync", "--locked", "--check"], folder=project.path)
    assert done.returncode == 0, done.stderr
