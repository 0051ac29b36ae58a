"""All modules together, on PostgreSQL, Redis and RabbitMQ."""

import uuid
from pathlib import Path

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.services import SERVICES, require_services
from tests.support.template import TEMPLATE


def test_own_tests(bakery: Bakery, tmp_path: Path) -> None:
    """None of the project's tests may skip for want of a server."""
    require_services()
    # A copy, since the tests of the same project on SQLite may run at this moment.
    project = bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")
    database = f"template_{uuid.uuid4().hex[:12]}"
    expect_none(
        commands.own_tests(
            project,
            servers=True,
            DATABASE_URL=f"postgres://postgres@127.0.0.1:5432/{database}",
            REQUIRE_SERVICES="1",
        )
    )


def test_a_server_that_is_away_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_SERVICES", raising=False)
    monkeypatch.setitem(SERVICES, "Redis", 9)
    with pytest.raises(pytest.skip.Exception, match="Redis on"):
        require_services()


def test_a_server_that_is_required_and_away_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_SERVICES", "1")
    monkeypatch.setitem(SERVICES, "Redis", 9)
    with pytest.raises(pytest.fail.Exception, match="Redis on"):
        require_services()
