"""The admin of the audit trail with a million entries, on both databases."""

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.deep import folder_of, plant
from tests.support.project import BakedProject

TEST = f"{folder_of('audit')}/test_many.py"


@pytest.mark.whole
def test_a_million_entries(all_on: BakedProject, database_url: str) -> None:
    """Each page takes few queries, and none counts the trail or reads it without a limit."""
    options = [TEST, "-k", "few_queries"]
    rows = {"AUDIT_ROWS": "1000000", "DATABASE_URL": database_url}
    expect_none(commands.own_tests(plant(all_on), options=options, variables=rows))
