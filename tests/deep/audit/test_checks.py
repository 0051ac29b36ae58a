"""System checks say what would keep the trail from being complete."""

import ast
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, connections, models
from django.test.utils import CaptureQueriesContext, isolate_apps

from apps.audit import registry, triggers
from apps.audit.capture import PREFIX
from apps.audit.checks import check_settings
from apps.core.modules import Health

from ..examples.models import Author, Example

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def test_the_project_has_nothing_to_warn_of() -> None:
    assert not [message for message in run_checks() if str(message.id).startswith("audit.")]


def health() -> Health:
    config: Any = apps.get_app_config("audit")
    found: Health = config.health()
    return found


def audit_checks(**options: Any) -> list[tuple[str | None, str]]:
    found = run_checks(**options)
    return [(one.id, str(one.msg)) for one in found if str(one.id).startswith("audit.")]


def test_a_key_that_the_database_follows_by_itself_is_nothing_to_warn_of() -> None:
    with isolate_apps("apps.audit.tests.examples"):

        class Owner(Example):
            class Meta(Example.Meta):
                pass

        class Thing(Example):
            owner = models.ForeignKey(Owner, models.DB_CASCADE)

            class Meta(Example.Meta):
                pass

    registry.register(Thing)
    assert check_settings(None) == []


def test_another_database_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "mysql")
    monkeypatch.setattr(connection, "display_name", "MySQL")
    (message,) = check_settings(None)
    assert message.id == "audit.E001"
    assert "'default' is MySQL, to which the audit trail cannot write" in message.msg
    assert message.hint is not None
    assert "postgres://" in message.hint
    assert triggers.faults(connection) == []
    triggers.install(connection)


def test_a_trigger_that_is_missing_is_found_where_a_database_is_named() -> None:
    triggers.Triggers(connection, {"audit_examples_author"}).drop()
    assert audit_checks() == []
    assert health() is Health.DEGRADED
    found = audit_checks(databases=["default"])
    assert {number for number, _ in found} == {"audit.W001"}
    names = {text.split()[2] for _, text in found}
    assert f"{PREFIX}insert_audit_examples_author" in names
    assert all(name.endswith("_audit_examples_author") for name in names)
    for _, text in found:
        assert "on the table audit_examples_author is missing" in text
        assert text.endswith("Run `manage.py migrate --database default`.")
    triggers.install(connection)
    assert audit_checks(databases=["default"]) == []
    assert health() is Health.OK


def test_a_trigger_that_is_stale_or_not_wanted_is_found() -> None:
    # As after a start with other options, and before `migrate`.
    registry.register(Author, mask=["name"])
    found = audit_checks(databases=["default"])
    assert found
    assert all(
        "_audit_examples_author of the audit trail" in text
        and "is not what it should be. Run `manage.py migrate" in text
        for _, text in found
    )
    registry._registered.pop(Author)
    registry.forget_what_was_derived()
    found = audit_checks(databases=["default"])
    assert found
    assert all(f"{PREFIX}" in text and "should not be there" in text for _, text in found)
    triggers.install(connection)
    assert audit_checks(databases=["default"]) == []


def test_a_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check", tags=["database"], databases=["default"])
    assert "audit." not in capsys.readouterr().err
    triggers.Triggers(connection, {"audit_examples_author"}).drop()
    call_command("check", tags=["database"], databases=["default"])
    said = capsys.readouterr().err
    assert "(audit.W001)" in said
    assert "manage.py migrate --database default" in said


def test_what_is_there_is_not_replaced() -> None:
    with CaptureQueriesContext(connection) as captured:
        triggers.install(connection)
    changing = ("CREATE", "DROP", "ALTER")
    assert [query for query in captured if query["sql"].startswith(changing)] == []
    registry.register(Author, mask=["name"])
    with CaptureQueriesContext(connection) as captured:
        triggers.install(connection)
    changed = [query["sql"] for query in captured if query["sql"].startswith(changing)]
    assert changed
    assert all("audit_examples_author" in sql for sql in changed)


@pytest.mark.parametrize("change", ["the models", "the columns"])
def test_triggers_are_made_again_only_when_what_they_are_made_of_changes(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert triggers.faults(connection) == []

    def make(*arguments: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(triggers.CAPTURES[connection.vendor], "of", make)
    assert health() is Health.OK

    def change_what_they_are_made_of() -> None:
        if change == "the models":
            registry.register(Author, mask=["name"])
            triggers.faults(connection)
        else:
            connection.cursor().execute("ALTER TABLE audit_examples_author ADD COLUMN more integer")

    with pytest.raises(NotImplementedError):
        change_what_they_are_made_of()


class ElsewhereRouter:
    """Keeps the trail out of a database in which audited models are."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == "default" and app_label == "audit" else None


def test_a_router_that_keeps_the_trail_away_is_an_error(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [ElsewhereRouter()]
    found = audit_checks()
    assert {number for number, _ in found} == {"audit.E002"}
    assert any(
        "The database 'default' has the table of accounts.User, which is audited, and not" in text
        for _, text in found
    )
    assert len(found) == len(registry.audited_models())
    assert triggers.faults(connection) == []


class ApartRouter:
    """Keeps everything but the trail and what it records out of a database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False


def test_a_database_with_neither_is_no_error(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [ApartRouter()]
    assert audit_checks() == []


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_times_of_a_place_in_sqlite_are_an_error(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections["default"], "timezone_name", zone)
    found = audit_checks()
    if connection.vendor == "sqlite" and zone != "UTC":
        ((number, text),) = found
        assert number == "audit.E003"
        assert "'default' is SQLite and keeps times as they are in Europe/Berlin" in text
    else:
        assert found == []


def is_documented(used: ast.Attribute, of: str) -> bool:
    """Whether Django documents a name, which then is the same in its next version, or it is ours."""
    if of.endswith("._state"):
        return used.attr in ("db", "adding")
    ours = of == "self" or used.attr.endswith("__")
    documented = ("_meta", "_state", "_asdict", "_fields")  # the latter two are Python's
    return ours or not used.attr.startswith("_") or used.attr in documented


def test_nothing_private_of_django_is_used() -> None:
    folder = Path(registry.__file__).parent
    found = [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for path in [*folder.glob("*.py"), *folder.glob("management/**/*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and not is_documented(node, ast.unparse(node.value))
    ]
    assert not found
