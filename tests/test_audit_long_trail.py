"""The admin of the audit trail with a million entries, on both databases."""

from tests.checks.check import expect_none
from tests.support.project import BakedProject

TEST = "apps/audit/tests/test_many.py"


def test_a_million_entries(all_on: BakedProject, database_url: str) -> None:
    """Each page takes few queries, and none counts the trail or reads it without a limit."""
    expect_none(
        all_on.faults_of(
            *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST, "-k", "few_queries"),
            AUDIT_ROWS="1000000",
            DATABASE_URL=database_url,
        )
    )
