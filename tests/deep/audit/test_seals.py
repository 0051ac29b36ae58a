"""Seals show each change of what was sealed, and which; done past the triggers on purpose."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import io
import tracemalloc
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from apps.audit import fingerprints, seals, triggers
from apps.audit.models import Entry, Seal

from ..examples.models import Author
from ..test_seals import force, found, keys, said, small_batches

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created_at", "2020-01-01 00:00:00+00:00"),
        ("action", "delete"),
        ("model_label", "audit_examples.author"),
        ("object_id", "0"),
        ("object_repr", "Author  5"),
        ("actor_id", 1),
        ("actor_name", "x"),
        ("source", "job"),
        ("request_id", "x"),
        ("changes", '{"name": {"old": null, "new": "Author 6"}}'),
    ],
)
def test_one_edited_column_is_found(keys: list[int], column: str, value: Any) -> None:
    force(f"UPDATE audit_entry SET {column} = %s WHERE id = %s", value, keys[5])  # noqa: S608
    assert found() == [("changed", (keys[5],))]


def test_every_column_is_sealed() -> None:
    columns = {field.attname for field in Entry._meta.concrete_fields}
    assert columns - {*fingerprints.FIXED, *fingerprints.NAMES, "changes"} == {"id"}


def test_the_last_row_removed_is_found(keys: list[int]) -> None:
    force("DELETE FROM audit_entry WHERE id = %s", keys[-1])
    assert found() == [("removed", (keys[-1],))]


@pytest.mark.parametrize(("one", "other"), [(1, 2), (0, 10)])
def test_two_rows_swapped_are_found(keys: list[int], one: int, other: int) -> None:
    first, second = keys[one], keys[other]
    for old, new in ((first, 0), (second, first), (0, second)):
        force("UPDATE audit_entry SET id = %s WHERE id = %s", new, old)
    assert found() == [("changed", (first,)), ("changed", (second,))]


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_a_row_put_in_is_found(keys: list[int], place: str) -> None:
    force("DELETE FROM audit_entry WHERE id = %s", keys[2])
    key = {"before": -5, "between": keys[2], "after": keys[-1] + 1}[place]
    again = Author.objects.create(name="Author 2")
    force(
        "UPDATE audit_entry SET id = %s WHERE object_id = %s AND model_label = %s",
        key,
        str(again.pk),
        Author._meta.label,
    )
    removed, changed = ("removed", (keys[2],)), ("changed", (keys[2],))
    expected = {"before": [("inserted", (-5,)), removed], "between": [changed], "after": [removed]}
    assert found() == expected[place]


def test_all_changes_are_reported(keys: list[int]) -> None:
    force("UPDATE audit_entry SET actor_name = 'mallory' WHERE id >= %s", keys[0])
    assert found() == [("changed", (key,)) for key in keys]


def test_triggers_that_are_gone_are_found(keys: list[int]) -> None:
    triggers.Triggers(connection, triggers.KEPT).drop()
    assert set(found()) == {("triggers", ())}
    with pytest.raises(CommandError, match="is not as it was sealed"):
        said("verify")
    triggers.install(connection)


def test_one_character_of_the_changes_is_found(keys: list[int]) -> None:
    cast = "::text::jsonb" if connection.vendor == "postgresql" else ""
    text = "changes::text" if cast else "changes"
    force(
        f"UPDATE audit_entry SET changes = REPLACE({text}, 'Author', 'Auth0r'){cast}"  # noqa: S608
        " WHERE id = %s",
        keys[3],
    )
    assert found() == [("changed", (keys[3],))]


def test_a_renamed_model_or_field_is_sealed_like_any_other(keys: list[int]) -> None:
    changes = {"": {"renamed": "audit_examples.Writer"}}
    entry = Entry(action="rename", model_label="audit_examples.Author", changes=changes)
    entry.save()
    assert "Sealed 1 entry." in said("seal")
    force("UPDATE audit_entry SET model_label = 'audit_examples.X' WHERE id = %s", entry.pk)
    assert found() == [("changed", (entry.pk,))]


def peak_of_sealing(entries: int) -> int:
    value = "x" * 300_000
    for _ in range(entries):
        Entry(changes={"text": {"old": None, "new": value}}).save()
    tracemalloc.start()
    try:
        list(seals.seal("default"))
        assert found() == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_values(
    keys: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "BATCH", 1000)
    few = peak_of_sealing(10)
    assert peak_of_sealing(40) < 2 * few


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit_seal SET count = 99 WHERE number = 2", [("seal", (2,))]),
        ("UPDATE audit_seal SET created_at = '2020-01-01' WHERE number = 2", [("seal", (2,))]),
        # Its digest was made again, and the next no longer follows it.
        ("UPDATE audit_seal SET digest = 'x' || substr(digest, 2) WHERE number = 1",
         [("seal", (1,)), ("seal", (2,))]),
    ],
)  # fmt: skip
def test_a_changed_seal_is_found(
    keys: list[int], statement: str, expected: list[tuple[str, tuple[int]]]
) -> None:
    force(statement)
    assert found() == expected


def test_a_chain_made_anew_differs_from_the_seal_that_was_noted(keys: list[int]) -> None:
    last = Seal.objects.order_by("number").last()
    assert last is not None
    noted = (last.number, last.digest)
    assert found(noted=noted) == []
    assert found(noted=(last.number, last.digest[:16])) == []
    force("DELETE FROM audit_entry WHERE id = %s", keys[-1])
    force("DELETE FROM audit_seal")
    list(seals.seal("default"))
    assert found() == []
    assert found(noted=noted) == [("seal", (last.number,))]
    force("DELETE FROM audit_seal WHERE number >= %s", last.number)
    assert found(noted=noted) == [("seal", (last.number,))]


@pytest.mark.parametrize("noted", ["", "1", "1:", "x:9f86d081884c7d65", "1:9F86", "1:short"])
def test_what_is_no_seal_is_refused(noted: str) -> None:
    with pytest.raises(CommandError, match="is no seal as `audit seal` prints it"):
        said("verify", f"--noted={noted}")


def test_a_value_that_python_cannot_read_is_found(keys: list[int]) -> None:
    value = {"sqlite": "never", "postgresql": "infinity"}[connection.vendor]
    force("UPDATE audit_entry SET created_at = %s WHERE id = %s", value, keys[1])
    assert found() == [("changed", (keys[1],))]


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite takes any bytes as text")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("changes", "CAST(x'22ff22' AS text)"),
        ("changes", "5"),
        ("actor_name", "x'ff'"),
        ("actor_name", "CAST(x'ff' AS text)"),
        ("actor_name", "CAST(x'00' AS text)"),
        ("created_at", "x'ff'"),
    ],
)
def test_bytes_that_are_no_text_are_found(keys: list[int], column: str, value: str) -> None:
    force(f"UPDATE audit_entry SET {column} = {value} WHERE id = %s", keys[1])  # noqa: S608
    assert found() == [("changed", (keys[1],))]


def test_the_number_of_a_seal_that_is_gone_is_told(keys: list[int]) -> None:
    force("DELETE FROM audit_seal WHERE number = 2")
    assert found()[:2] == [("seal", (2,)), ("seal", (3,))]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps whole numbers only")
def test_a_number_of_a_seal_that_is_not_whole_is_told(keys: list[int]) -> None:
    force("UPDATE audit_seal SET number = 1.5 WHERE number = 2")
    assert ("seal", (2,)) in found()


def test_no_value_and_an_empty_one_differ(keys: list[int]) -> None:
    # The keys of users can be texts.
    if connection.vendor == "postgresql":
        force("ALTER TABLE audit_entry ALTER actor_id TYPE text")
    force("UPDATE audit_entry SET actor_id = '' WHERE id = %s", keys[1])
    assert found() == [("changed", (keys[1],))]


def test_each_link_costs_few_queries(keys: list[int], django_assert_num_queries: Any) -> None:
    links = Seal.objects.count()
    # Three for each link: itself, the first of its entries, and all of them. One finds that there
    # is no other link, one the latest entry, one the ids that were assigned, and one the links
    # beyond them. One more reads who was forgotten. The others find columns and triggers.
    with django_assert_num_queries(3 * links + 5 + 2):
        assert found() == []


def test_an_empty_trail_has_nothing_to_seal_or_to_verify() -> None:
    with triggers.without_protection(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry")
    assert said("seal") == "Sealed 0 entries.\n"
    assert said("verify") == "There are no seals; `audit seal` adds the first.\n"


def test_of_two_runs_at_a_time_one_stands_back(
    keys: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Author.objects.create(name="New")
    stale = Seal.objects.order_by("number").first()
    assert seals.add_link("default", stale, kind="entries", until=keys[-1], count=0) is None
    assert found() == []


@pytest.fixture
def writing() -> Iterator[Callable[[], None]]:
    """Keep a transaction open that has taken an id; return what commits it."""
    began, commit = Event(), Event()

    def write() -> None:
        try:
            with transaction.atomic():
                Author.objects.create(name="Late")
                began.set()
                commit.wait(20)
        finally:
            began.set()
            connection.close()

    thread = Thread(target=write)
    thread.start()
    assert began.wait(20)

    def finish() -> None:
        commit.set()
        thread.join(20)

    yield finish
    finish()


needs_two_writers = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="SQLite lets one write at a time"
)


@needs_two_writers
@pytest.mark.django_db(transaction=True)
def test_an_id_that_is_committed_late_is_waited_for(writing: Callable[[], None]) -> None:
    Author.objects.create(name="Early")
    (early,) = Entry.objects.values_list("pk", flat=True)
    waited = Event()

    def commit_later() -> None:
        waited.wait(0.2)
        writing()

    timer = Thread(target=commit_later)
    timer.start()
    (link,) = seals.seal("default")
    timer.join()
    assert (link.count, link.until) == (2, early)
    assert Entry.objects.order_by("pk").values_list("object_repr", flat=True)[0] == "Late"
    assert found() == []


@needs_two_writers
@pytest.mark.django_db(transaction=True)
def test_a_writer_who_does_not_end_is_named(
    writing: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    Author.objects.create(name="Early")
    with pytest.raises(seals.BusyError, match="1 transaction"):
        seals.last_complete_id("default", patience=0.1)
    assert not Seal.objects.exists()


@needs_two_writers
@pytest.mark.django_db(transaction=True)
def test_who_begins_to_write_later_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Author.objects.create(name="Early")
    last = Entry.objects.order_by("pk").last()
    assert last is not None
    assert seals.last_complete_id("default", patience=0) == last.pk


def test_what_retention_removes_meanwhile_is_not_missed(
    keys: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, digest_of = seals.older_than(timezone.now(), using="default"), seals.digest_of

    def prune(link: Seal, last: Seal | None) -> str:
        # Once the first of the seals is read.
        monkeypatch.undo()
        seals.prune(old)
        return digest_of(link, last)

    monkeypatch.setattr(seals, "digest_of", prune)
    assert found() == []
    assert not Entry.objects.exists()


@pytest.fixture
def time_zone_of_the_connection() -> Iterator[None]:
    """Let the database give its times in another zone than UTC."""

    real = connections["default"]

    def switch(zone: str | None) -> None:
        real.settings_dict["TIME_ZONE"] = zone
        for cached in ("timezone", "timezone_name"):
            real.__dict__.pop(cached, None)
        real.ensure_timezone()

    before = real.settings_dict["TIME_ZONE"]
    switch("Asia/Tokyo")
    yield
    switch(before)


def test_the_time_zone_of_a_database_changes_no_seal(
    time_zone_of_the_connection: None, keys: list[int]
) -> None:
    assert found() == []


@pytest.mark.parametrize("count", [1, 2])
def test_fingerprints_that_were_cut_are_found(keys: list[int], count: int) -> None:
    links = list(Seal.objects.order_by("number"))
    link, previous = links[-1], links[-2]
    link.fingerprints = bytes(link.fingerprints)[: fingerprints.LAYOUT.size * count - 1]
    # With a new digest, and no link after it that would not fit.
    digest = seals.digest_of(link, previous)
    force(
        "UPDATE audit_seal SET fingerprints = %s, digest = %s WHERE number = %s",
        link.fingerprints, digest, link.number,
    )  # fmt: skip
    assert found() == [
        ("seal", (link.number,)),
        *(("inserted", (key,)) for key in keys[-link.count + count - 1 :]),
    ]


only_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="SQLite gives out the ids after the highest"
)


@only_postgresql
def test_an_id_that_was_not_given_out_is_found_and_holds_up_no_seal(keys: list[int]) -> None:
    Entry(pk=2**62, object_repr="Forged").save()
    Author.objects.create(name="New")
    assert "Sealed 1 entry" in said("seal")
    assert found() == [("inserted", (2**62,))]
    assert not seals.older_than(timezone.now(), using="default").filter(pk=2**62).exists()


@only_postgresql
def test_a_role_that_owns_nothing_can_seal_verify_and_prune(keys: list[int]) -> None:
    with connection.cursor() as cursor:
        for statement in (
            "CREATE ROLE audit_test",
            "GRANT SELECT, INSERT, DELETE ON audit_entry TO audit_test",
            "GRANT SELECT, INSERT ON audit_seal TO audit_test",
            "GRANT SELECT ON SEQUENCE audit_entry_id_seq TO audit_test",
            "SET LOCAL ROLE audit_test",
        ):
            cursor.execute(statement)
        Entry(object_repr="New").save()
        assert len(list(seals.seal("default"))) == 1
        assert found() == []
        old = seals.older_than(timezone.now(), using="default")
        count = old.count()
        assert seals.prune(old) == count > 0
        assert found() == []
        cursor.execute("RESET ROLE")


def test_what_a_seal_holds_commands_no_terminal(keys: list[int]) -> None:
    last = Seal.objects.order_by("number").last()
    assert last is not None
    digest = "\x1b[2J" + last.digest[4:]
    force("UPDATE audit_seal SET digest = %s WHERE number = %s", digest, last.number)
    assert "\\u001b[2J" in said("seal")
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("audit", "verify", f"--noted={last}", stdout=out)
    assert f"Seal {last.number} is not the one that was noted" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_removed_seal_is_found(keys: list[int]) -> None:
    force("DELETE FROM audit_seal WHERE number = 2")
    # Its four entries are between the two seals that are left, and in neither.
    assert [kind for kind, _ in found()] == ["seal"] * 2 + ["inserted"] * 4
    with pytest.raises(CommandError, match="Findings: 6"):
        said("verify")


@pytest.mark.parametrize("place", [0, 5, 10])
def test_a_changed_and_a_removed_entry_are_found(keys: list[int], place: int) -> None:
    force("UPDATE audit_entry SET object_repr = 'Auth0r' WHERE id = %s", keys[place])
    assert found() == [("changed", (keys[place],))]
    force("DELETE FROM audit_entry WHERE id = %s", keys[place])
    assert found() == [("removed", (keys[place],))]
