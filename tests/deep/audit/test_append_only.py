"""The database itself refuses to change what is on the trail."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import io
from contextlib import suppress
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import QuerySet

from apps.audit import triggers
from apps.audit.capture import PREFIX
from apps.audit.models import Entry, Seal

from ..examples.models import Author
from ..test_append_only import entry, execute

pytestmark = pytest.mark.django_db


PRUNING = {"kind": Seal.Kind.PRUNING, "count": 0, "digest": ""}


def plain(model: Any) -> QuerySet[Any]:
    """Reach past the refusals of the model's own manager."""
    return QuerySet(model)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor_name = 'nobody' WHERE id = %s",
        "UPDATE audit_entry SET id = -1 WHERE id = %s",
        "DELETE FROM audit_entry WHERE id = %s",
        "UPDATE audit_entry SET actor_name = 'nobody' WHERE id >= %s",
        "DELETE FROM audit_entry WHERE id >= %s",
    ],
)
def test_sql_is_refused(entry: Entry, statement: str) -> None:
    before = list(Entry.objects.values())
    with pytest.raises(IntegrityError, match="append-only: audit_entry cannot be changed"):
        execute(statement, entry.pk)
    assert list(Entry.objects.values()) == before


def test_only_what_a_pruning_covers_can_be_deleted(entry: Entry) -> None:
    kept = Entry.objects.of(Author.objects.create(name="Bob")).get()
    # A seal of entries opens nothing.
    Seal.objects.create(number=1, kind=Seal.Kind.ENTRIES, until=kept.pk, count=2, digest="")
    with pytest.raises(IntegrityError):
        execute("DELETE FROM audit_entry WHERE id = %s", entry.pk)
    count = Entry.objects.filter(pk__lte=entry.pk).count()
    Seal.objects.create(number=2, until=entry.pk, **PRUNING | {"count": count})
    with pytest.raises(IntegrityError):
        execute("DELETE FROM audit_entry WHERE id >= %s", entry.pk)
    with pytest.raises(IntegrityError):
        execute("UPDATE audit_entry SET actor_name = 'nobody' WHERE id = %s", entry.pk)
    execute("DELETE FROM audit_entry WHERE id = %s", entry.pk)
    assert list(Entry.objects.filter(pk__gte=entry.pk)) == [kept]


def test_all_triggers_are_there_after_all_migrations() -> None:
    # A later migration that remakes a table, as SQLite does, has to add them again.
    assert triggers.faults(connection) == []


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
    triggers.install(other)
    Entry(object_repr="One").save(using=other_database)
    Seal.objects.using(other_database).create(number=1, until=0, **PRUNING)
    for table, refusal in (
        ("audit_entry", "append-only: audit_entry"),
        ("audit_seal", "next link"),
    ):
        with pytest.raises(IntegrityError, match=refusal), other.cursor() as cursor:
            cursor.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")  # noqa: S608


@pytest.mark.parametrize("number", [1, 3, 99])
def test_a_link_of_the_chain_has_the_next_number(number: int) -> None:
    Seal.objects.create(number=1, until=0, **PRUNING)
    with pytest.raises(IntegrityError), transaction.atomic():
        Seal.objects.bulk_create([Seal(number=number, until=0, **PRUNING)])
    Seal.objects.create(number=2, until=0, **PRUNING)


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
    last = triggers.last_assigned_id(connection)
    values: dict[str, Any] = {"kind": kind, "count": Entry.objects.count(), "digest": ""}
    with pytest.raises(IntegrityError, match="takes only the next link"), transaction.atomic():
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
    with pytest.raises(IntegrityError, match="takes only the next link"), transaction.atomic():
        Seal.objects.create(count=Entry.objects.count() + wrong, **values)
    Seal.objects.create(count=Entry.objects.count(), **values)


def test_ids_are_counted_also_when_their_entries_have_gone(entry: Entry) -> None:
    last = triggers.last_assigned_id(connection)
    assert last == entry.pk
    with triggers.without_protection(connection):
        execute("DELETE FROM audit_entry WHERE id >= %s", 0)
    assert triggers.last_assigned_id(connection) == last


def test_a_temporary_table_opens_nothing(entry: Entry) -> None:
    execute("CREATE TEMPORARY TABLE audit_seal AS SELECT 'pruning' AS kind, 999999999 AS until")
    try:
        with pytest.raises(IntegrityError, match="append-only"):
            execute("DELETE FROM audit_entry WHERE id = %s", entry.pk)
    finally:
        schema = "pg_temp" if connection.vendor == "postgresql" else "temp"
        execute(f"DROP TABLE {schema}.audit_seal")


def test_the_triggers_can_be_taken_out_and_put_back(entry: Entry) -> None:
    found = triggers.Triggers(connection, triggers.KEPT).found
    own = [name for name in found if name.endswith(("_audit_entry", "_audit_seal"))]
    for _ in range(2):
        triggers.Triggers(connection, triggers.KEPT).drop()
    missing = triggers.faults(connection)
    assert len(missing) == len(own)
    assert all(any(f"trigger {name} " in fault for fault in missing) for name in own)
    assert all("is missing. Run `manage.py migrate" in fault for fault in missing)
    triggers.install(connection)
    with triggers.without_protection(connection):
        execute("UPDATE audit_entry SET actor_name = 'court' WHERE id = %s", entry.pk)
    assert triggers.faults(connection) == []
    assert Entry.objects.get(pk=entry.pk).actor_name == "court"


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL switches them off")
@pytest.mark.parametrize("how", ["DISABLE TRIGGER", "ENABLE TRIGGER", "ENABLE REPLICA TRIGGER"])
def test_a_trigger_that_is_switched_off_somewhere_is_not_what_it_should_be(how: str) -> None:
    name = f"{PREFIX}keep_delete_audit_entry"
    # Past Django, which would have it put right at once.
    connection.connection.execute(f"ALTER TABLE audit_entry {how} {name}")
    (fault,) = triggers.faults(connection)
    assert f"{name} of the audit trail" in fault
    assert "on the table audit_entry is not what it should be" in fault
    triggers.install(connection)
    assert triggers.faults(connection) == []


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has such triggers")
@pytest.mark.parametrize(
    ("name", "table", "how"),
    [
        ("keep_update_audit_entry", "audit_entry", "BEFORE UPDATE OF id"),
        ("update_accounts_user", "accounts_user", "AFTER UPDATE OF id"),
        ("keep_update_audit_entry", "elsewhere.audit_entry", "BEFORE UPDATE"),
        ("update_accounts_user", "elsewhere.accounts_user", "AFTER UPDATE"),
    ],
)
def test_a_trigger_that_fires_for_less_is_not_what_it_should_be(
    name: str, table: str, how: str
) -> None:
    name, own = PREFIX + name, table.rpartition(".")[2]
    run = connection.connection.execute
    run("CREATE SCHEMA elsewhere")
    run(f"CREATE TABLE elsewhere.{own} (LIKE {own})")
    run(f"DROP TRIGGER {name} ON {own}")
    run(f"CREATE TRIGGER {name} {how} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
    if "keep" in name:
        run(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
    (fault,) = triggers.faults(connection)
    assert f"{name} of the audit trail" in fault
    triggers.install(connection)
    assert triggers.faults(connection) == []


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL defers triggers")
def test_a_trigger_that_waits_for_the_commit_is_not_what_it_should_be() -> None:
    name, run = f"{PREFIX}update_accounts_user", connection.connection.execute
    run(f"DROP TRIGGER {name} ON accounts_user")
    run(
        f"CREATE CONSTRAINT TRIGGER {name} AFTER UPDATE ON accounts_user"
        f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    assert len(triggers.faults(connection)) == 1
    triggers.install(connection)
    assert triggers.faults(connection) == []


def test_another_database_has_triggers_of_its_own(other_database: str) -> None:
    other = connections[other_database]
    triggers.install(other)
    assert triggers.faults(other) == []
    triggers.Triggers(other, triggers.KEPT).drop()
    # Each table: to change, to delete, to add.
    assert len(triggers.faults(other)) == 6
    triggers.install(other)
    Entry(object_repr="Elsewhere").save(using=other_database)
    with pytest.raises(IntegrityError, match="append-only"):
        QuerySet(Entry, using=other_database).update(actor_name="nobody")


@pytest.mark.django_db(transaction=True)
def test_the_tables_of_a_test_are_emptied() -> None:
    Author.objects.create(name="Ada")
    Seal.objects.create(number=1, until=0, **PRUNING)
    call_command("flush", interactive=False, verbosity=0)
    assert not Entry.objects.exists()
    assert not Seal.objects.exists()
    assert triggers.faults(connection) == []


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


def test_flush_is_refused_outside_of_tests(monkeypatch: pytest.MonkeyPatch, entry: Entry) -> None:
    monkeypatch.delattr(mail, "outbox")
    with pytest.raises(CommandError, match="would empty the audit trail"):
        call_command("flush", interactive=False, stdout=io.StringIO())
    assert Entry.objects.filter(pk=entry.pk).exists()
