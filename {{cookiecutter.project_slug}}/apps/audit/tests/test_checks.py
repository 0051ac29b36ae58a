"""System checks say what the trail could not see."""

import pytest
from django.core.checks import run_checks
from django.db import NotSupportedError, connection

from apps.audit.checks import check_what_cannot_be_seen
from apps.audit.dialects import dialect_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def test_the_project_has_nothing_to_warn_of() -> None:
    assert not [message for message in run_checks() if str(message.id).startswith("audit.")]


def test_another_database_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "mysql")
    monkeypatch.setattr(connection, "display_name", "MySQL")
    (message,) = check_what_cannot_be_seen(None)
    assert message.id == "audit.E001"
    assert "'default' is MySQL" in message.msg
    with pytest.raises(NotSupportedError, match="cannot write to MySQL: it knows SQLite"):
        dialect_of(connection)
