"""System checks say what the trail could not see."""

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import NotSupportedError, connection, models
from django.test.utils import isolate_apps

from apps.audit import registry
from apps.audit.checks import check_what_cannot_be_seen, refuse_local_times
from apps.audit.dialects import dialect_of

from ..examples.models import Example

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def test_the_project_has_nothing_to_warn_of() -> None:
    assert not [message for message in run_checks() if str(message.id).startswith("audit.")]


@isolate_apps("apps.audit.tests.examples")
def test_a_key_that_the_database_follows_by_itself_is_warned_of() -> None:
    class Owner(Example):
        class Meta(Example.Meta):
            pass

    class Thing(Example):
        owner = models.ForeignKey(Owner, models.DB_CASCADE)
        former = models.ForeignKey(Owner, models.DB_SET_NULL, null=True, related_name="+")
        kept = models.ForeignKey(Owner, models.DO_NOTHING, related_name="+")

        class Meta(Example.Meta):
            pass

    registry.register(Thing)
    messages = check_what_cannot_be_seen(None)
    assert [(message.id, message.hint) for message in messages] == [
        ("audit.W001", "Use models.CASCADE instead."),
        ("audit.W001", "Use models.SET_NULL instead."),
    ]
    assert "Thing.owner has on_delete=DB_CASCADE" in messages[0].msg


def test_another_database_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "mysql")
    monkeypatch.setattr(connection, "display_name", "MySQL")
    (message,) = check_what_cannot_be_seen(None)
    assert message.id == "audit.E001"
    assert "'default' is MySQL" in message.msg
    with pytest.raises(NotSupportedError, match="cannot write to MySQL: it knows SQLite"):
        dialect_of(connection)


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_a_place_in_sqlite_stop_the_start(
    zone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", zone)
    if connection.vendor == "sqlite" and zone == "Europe/Berlin":
        message = r"times in the database 'default', which is SQLite and keeps them .* in Europe/"
        with pytest.raises(ImproperlyConfigured, match=message):
            refuse_local_times()
    else:
        refuse_local_times()
