"""The admin of the audit trail with a million entries, on both databases."""

import uuid
from pathlib import Path

import pytest

from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.services import require_services
from tests.support.template import TEMPLATE

TEST = "apps/audit/tests/test_many.py"


@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_a_million_entries(bakery: Bakery, tmp_path: Path, database: str) -> None:
    """Each page takes few queries, and none counts the trail or reads it without a limit."""
    url = ""
    if database == "PostgreSQL":
        require_services()
        url = f"postgres://postgres@127.0.0.1:5432/template_{uuid.uuid4().hex[:12]}"
    # A copy, since its tests may run on SQLite, which is one file, at this moment.
    project = bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")
    expect_none(
        project.faults_of(
            *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST, "-k", "few_queries"),
            AUDIT_ROWS="1000000",
            DATABASE_URL=url,
        )
    )
