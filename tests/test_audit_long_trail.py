"""The audit trail with a million entries, on both databases."""

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.deep import folder_of, plant
from tests.support.project import BakedProject

FOLDER = folder_of("audit")


@pytest.mark.whole
@pytest.mark.parametrize(
    ("file", "chosen"),
    [
        # Each page takes few queries, and none counts the trail or reads it without a limit.
        ("test_many.py", "few_queries"),
        # Objects that are older than the trail are recorded with flat memory.
        ("test_backfill.py", "flat_memory"),
    ],
)
def test_a_million_entries(file: str, chosen: str, all_on: BakedProject, database_url: str) -> None:
    options = [f"{FOLDER}/{file}", "-k", chosen]
    rows = {"AUDIT_ROWS": "1000000", "DATABASE_URL": database_url}
    expect_none(commands.own_tests(plant(all_on), options=options, variables=rows))
