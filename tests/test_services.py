"""A test that needs a server is skipped without it, or fails when the server is required."""

import pytest

from tests.support.services import SERVICES, require_services


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
