"""The type of a check, and how a test fails with its findings."""

from typing import Protocol

import pytest

from tests.support.project import BakedProject


class Check(Protocol):
    """Looks at a project and returns what is wrong with it: an empty list when nothing is."""

    __name__: str

    def __call__(self, project: BakedProject) -> list[str]: ...


def expect_none(faults: list[str]) -> None:
    """Fail with everything that a check found."""
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)
