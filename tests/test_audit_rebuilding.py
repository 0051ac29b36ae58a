"""The tables, rebuilt from the audit trail after thousands of random writes, on both databases."""

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.deep import folder_of, plant
from tests.support.project import BakedProject

TESTS = [f"{folder_of('audit')}/test_{name}.py" for name in ("rebuilding", "concurrency")]


@pytest.mark.whole
def test_thousands_of_writes(all_on: BakedProject, database_url: str) -> None:
    """Also where several writers race, on the database that has several."""
    operations = {"AUDIT_OPERATIONS": "1000", "DATABASE_URL": database_url}
    expect_none(commands.own_tests(plant(all_on), options=TESTS, variables=operations))
