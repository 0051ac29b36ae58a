"""The database itself refuses to change what is on the trail."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import QuerySet

from apps.audit import append_only
from apps.audit.models import Entry, Seal

from ..examples.models import Author
from ..test_append_only import entry, execute

pytestmark = pytest.mark.django_db


PRUNING = {"kind": Seal.Kind.PRUNING, "count": 0, "digest": ""}


def plain(model: Any) -> QuerySet[Any]:
    """Reach past the refusals of the model's own manager."""
    return QuerySet(model)


def test_all_triggers_are_there_after_all_migrations() -> None:
    # A later migration that makes a table anew, as SQLite does, has to add them again.
    assert append_only.missing(connection) == set()


def test_what_goes_past_the_manager_is_refused(entry: Entry) -> None:
    for attempt in (
        lambda: plain(Entry).update(actor_name="nobody"),
        lambda: plain(Entry).delete(),
        lambda: plain(Entry)._raw_delete("default"),
        lambda: plain(Entry).bulk_create(
            [entry], update_conflicts=True, unique_fields=["id"], update_fields=["actor_name"]
        ),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            attempt()
    assert Entry.objects.get(pk=entry.pk).changes == entry.changes


def test_a_whole_table_cannot_be_emptied(entry: Entry) -> None:
    statement = "TRUNCATE {}" if connection.vendor == "postgresql" else "DELETE FROM {}"
    Seal.objects.create(number=1, until=0, **PRUNING)
    for table in ("audit_entry", "audit_seal"):
        with pytest.raises(IntegrityError, match="append-only"):
            execute(statement.format(table))


def test_a_row_cannot_be_replaced(other_database: str) -> None:
    # Only SQLite has this statement, which deletes a row without asking its triggers.
    other = connections[other_database]
    append_only.install(other)
    Entry(object_repr="One").save(using=other_database)
    Seal.objects.using(other_database).create(number=1, until=0, **PRUNING)
    for table in ("audit_entry", "audit_seal"):
        with (
            pytest.raises(IntegrityError, match=f"append-only: {table}"),
            other.cursor() as cursor,
        ):
            cursor.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")  # noqa: S608


def test_seals_are_refused_too() -> None:
    Seal.objects.create(number=1, until=0, **PRUNING)
    for statement in ("UPDATE audit_seal SET until = 99", "DELETE FROM audit_seal"):
        with pytest.raises(IntegrityError, match="append-only: audit_seal"):
            execute(statement)


@pytest.mark.parametrize("kind", Seal.Kind.values)
@pytest.mark.parametrize("beyond", [1, 2**62])
def test_a_link_cannot_cover_more_than_the_trail_has_had(
    entry: Entry, kind: str, beyond: int
) -> None:
    last = append_only.given_out(connection)
    values: dict[str, Any] = {"kind": kind, "count": Entry.objects.count(), "digest": ""}
    with pytest.raises(IntegrityError, match="other entries than there are"), transaction.atomic():
        Seal.objects.create(number=1, until=last + beyond, **values)
    with pytest.raises(IntegrityError):
        execute("DELETE FROM audit_entry WHERE id = %s", entry.pk)
    Seal.objects.create(number=1, until=last, **values)


def test_an_entry_put_in_far_ahead_opens_nothing_for_those_to_come() -> None:
    Entry(
        pk=2**62,
    ).save()
    values: dict[str, Any] = {"kind": "pruning", "until": 2**62, "digest": ""}
    # PostgreSQL has not given this id out; SQLite gives out those after it.
    with suppress(IntegrityError), transaction.atomic():
        Seal.objects.create(number=1, count=Entry.objects.count(), **values)
    new = Entry.objects.of(Author.objects.create(name="Ada")).get()
    with pytest.raises(IntegrityError, match="append-only"):
        execute("DELETE FROM audit_entry WHERE id = %s", new.pk)


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_pruning_has_to_say_how_many_entries_go(entry: Entry, wrong: int) -> None:
    values: dict[str, Any] = {"number": 1, "kind": "pruning", "until": entry.pk, "digest": ""}
    with pytest.raises(IntegrityError, match="other entries than there are"), transaction.atomic():
        Seal.objects.create(count=Entry.objects.count() + wrong, **values)
    Seal.objects.create(count=Entry.objects.count(), **values)


def test_ids_are_counted_also_when_their_entries_have_gone(entry: Entry) -> None:
    last = append_only.given_out(connection)
    assert last == entry.pk
    with append_only.lifted(connection):
        execute("DELETE FROM audit_entry WHERE id >= %s", 0)
    assert append_only.given_out(connection) == last


def test_a_temporary_table_opens_nothing(entry: Entry) -> None:
    execute("CREATE TEMPORARY TABLE audit_seal AS SELECT 'pruning' AS kind, 999999999 AS until")
    try:
        with pytest.raises(IntegrityError, match="append-only"):
            execute("DELETE FROM audit_entry WHERE id = %s", entry.pk)
    finally:
        schema = "pg_temp" if connection.vendor == "postgresql" else "temp"
        execute(f"DROP TABLE {schema}.audit_seal")


def test_the_triggers_can_be_taken_out_and_put_back(entry: Entry) -> None:
    append_only.remove(connection)
    assert len(append_only.missing(connection)) == len(append_only.TRIGGERS[connection.vendor])
    append_only.remove(connection)
    append_only.install(connection)
    with append_only.lifted(connection):
        execute("UPDATE audit_entry SET actor_name = 'court' WHERE id = %s", entry.pk)
    assert append_only.missing(connection) == set()
    assert Entry.objects.get(pk=entry.pk).actor_name == "court"


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL switches them off")
def test_a_trigger_that_is_switched_off_counts_as_missing() -> None:
    execute("ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_rows")
    assert append_only.missing(connection) == {"audit_entry_rows"}


def test_another_database_has_triggers_of_its_own(other_database: str) -> None:
    other = connections[other_database]
    assert append_only.missing(other) == append_only.TRIGGERS["sqlite"]
    append_only.install(other)
    Entry(object_repr="Elsewhere").save(using=other_database)
    with pytest.raises(IntegrityError, match="append-only"):
        QuerySet(Entry, using=other_database).update(actor_name="nobody")


def test_a_database_without_such_triggers_is_told_of(capsys: pytest.CaptureFixture) -> None:
    oracle: Any = SimpleNamespace(
        vendor="oracle", alias="default", cursor=connection.cursor, features=connection.features
    )
    append_only.install(oracle)
    append_only.remove(oracle)
    said = capsys.readouterr().err
    assert "no triggers for oracle" in said
    assert "append-only for Python code" in said
    assert append_only.missing(oracle) == set()


@pytest.mark.django_db(transaction=True)
def test_the_tables_of_a_test_are_emptied() -> None:
    Author.objects.create(name="Ada")
    Seal.objects.create(number=1, until=0, **PRUNING)
    call_command("flush", interactive=False, verbosity=0)
    assert not Entry.objects.exists()
    assert not Seal.objects.exists()
    assert append_only.missing(connection) == set()


def test_a_database_without_the_trail_can_be_flushed(
    other_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(mail, "outbox")
    Author.objects.using(other_database).create(name="Ada")
    with connections[other_database].schema_editor() as editor:
        for model in (Entry, Seal):
            editor.delete_model(model)
    call_command(
        "flush", database=other_database, interactive=False, inhibit_post_migrate=True, verbosity=0
    )
    assert not Author.objects.using(other_database).exists()
