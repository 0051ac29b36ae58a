"""The tables, rebuilt from the audit trail after thousands of random writes, on both databases."""

import uuid
from pathlib import Path

import pytest

from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.services import require_services
from tests.support.template import TEMPLATE

TESTS = "apps/audit/tests/test_rebuilding.py", "apps/audit/tests/test_concurrency.py"


@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_thousands_of_writes(bakery: Bakery, tmp_path: Path, database: str) -> None:
    """Also where several writers race, on the database that has several."""
    url = ""
    if database == "PostgreSQL":
        require_services()
        url = f"postgres://postgres@127.0.0.1:5432/template_{uuid.uuid4().hex[:12]}"
    # A copy, since its tests may run on SQLite, which is one file, at this moment.
    project = bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")
    expect_none(
        project.faults_of(
            *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS),
            AUDIT_OPERATIONS="1000",
            DATABASE_URL=url,
        )
    )
