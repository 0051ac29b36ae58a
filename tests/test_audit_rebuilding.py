"""The tables, rebuilt from the audit trail after thousands of random writes, on both databases."""

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.deep import folder_of, plant
from tests.support.project import BakedProject

pytestmark = pytest.mark.whole


def rebuild(project: BakedProject, url: str, test: str, operations: int) -> None:
    """Run a test of the trail with a number of writes."""
    tests = [f"{folder_of('audit')}/test_{test}.py"]
    variables = {"AUDIT_OPERATIONS": str(operations), "DATABASE_URL": url}
    expect_none(commands.own_tests(plant(project), options=tests, variables=variables))


def test_thousands_of_writes(all_on: BakedProject, database_url: str) -> None:
    rebuild(all_on, database_url, "rebuilding", 20_000)


def test_writers_that_race(all_on: BakedProject, database_url: str) -> None:
    """On the database that has several at a time."""
    rebuild(all_on, database_url, "concurrency", 1_000)
