"""The tables, rebuilt from the audit trail after thousands of random writes, on both databases."""

from tests.checks.check import expect_none
from tests.support.project import BakedProject

TESTS = "apps/audit/tests/test_rebuilding.py", "apps/audit/tests/test_concurrency.py"


def test_thousands_of_writes(all_on: BakedProject, database_url: str) -> None:
    """Also where several writers race, on the database that has several."""
    expect_none(
        all_on.faults_of(
            *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS),
            AUDIT_OPERATIONS="1000",
            DATABASE_URL=database_url,
        )
    )
