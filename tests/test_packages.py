"""A project beside the packages that many projects use: none of them breaks what the other does."""

import pytest

from tests.support.bakery import Bakery
from tests.support.packages import PACKAGES

pytestmark = pytest.mark.whole


def test_env(bakery: Bakery) -> None:
    print(bakery.environment(PACKAGES).folder)
    assert 0
