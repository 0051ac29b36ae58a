"""Old entries go, and nothing else; the chain of seals stays whole."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone

from apps.audit import seals, triggers
from apps.audit.models import Entry, Seal

from ..examples.models import Author
from ..test_retention import NOW, keys, prune, trail
from ..test_seals import force, found, said, small_batches

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("older", "left"), [("1d", 0), ("7", 6), ("365d", 10), ("10d", 9), ("11d", 10), ("99999d", 10)]
)
def test_ages(trail: list[int], older: str, left: int) -> None:
    prune(f"--older-than={older}", "--no-input")
    assert len(keys()) == left


@pytest.mark.parametrize("older", ["", "0", "-3d", "1y", "3dd", "100000d"])
def test_what_is_no_age_is_refused(older: str) -> None:
    with pytest.raises(CommandError, match="for example 365"):
        prune(f"--older-than={older}", "--no-input")


def test_a_dry_run_removes_nothing(trail: list[int]) -> None:
    said = prune("--older-than=3d", "--dry-run")
    cutoff = timezone.localtime() - timedelta(days=3)
    assert f"Would remove 8 entries from before {cutoff:%Y-%m-%d}" in said
    assert keys() == trail
    assert not Seal.objects.exists()


@pytest.mark.parametrize(("answer", "left"), [("y", 2), ("n", 10), ("", 10)])
def test_a_person_is_asked(
    trail: list[int], monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    asked = []

    def ask(text: str) -> str:
        asked.append(text)
        return answer

    monkeypatch.setattr("builtins.input", ask)
    prune("--older-than=3d")
    assert len(keys()) == left
    assert "8 entries" in asked[0]
    assert "for good?" in asked[0]


def test_the_order_of_ids_counts_not_the_clock(trail: list[int]) -> None:
    values: dict[str, Any] = {}
    Entry(created_at=NOW - timedelta(days=99), **values).save()
    prune("--older-than=2d", "--no-input")
    assert keys() == [*trail[9:], trail[9] + 1]


def test_entries_that_were_never_sealed_can_go_too(trail: list[int]) -> None:
    prune("--older-than=5d", "--no-input")
    assert found() == []
    # They are sealed before they go.
    assert [seal.kind for seal in Seal.objects.all()] == ["entries"] * 3 + ["pruning"]
    assert list(seals.seal("default")) == []


def test_the_chain_goes_on_after_a_pruning(trail: list[int]) -> None:
    list(seals.seal("default"))
    prune("--older-than=5d", "--no-input")
    assert len(keys()) == 4
    assert found() == []
    Author.objects.create(name="New")
    list(seals.seal("default"))
    assert [seal.kind for seal in Seal.objects.all()] == ["entries"] * 3 + ["pruning", "entries"]
    assert found() == []


@pytest.mark.parametrize("sealed", [True, False])
def test_an_entry_put_in_among_those_that_went_is_found(trail: list[int], sealed: bool) -> None:
    if sealed:
        list(seals.seal("default"))
    prune("--older-than=5d", "--no-input")
    Entry(pk=trail[2], object_repr="Forged").save()
    Entry(pk=trail[0] - 1, object_repr="Forged").save()
    assert {keys for _, keys in found()} == {(trail[0] - 1,), (trail[2],)}
    list(seals.seal("default"))
    assert {keys for _, keys in found()} == {(trail[0] - 1,), (trail[2],)}


def test_what_no_seal_covers_is_found_whatever_a_pruning_says(trail: list[int]) -> None:
    # As somebody can add it who does not seal first.
    seals.add_link("default", None, kind="pruning", until=trail[2], count=3)
    assert found() == [("inserted", (key,)) for key in trail[:3]]


def test_a_forged_pruning_breaks_the_chain(trail: list[int]) -> None:
    list(seals.seal("default"))
    Seal.objects.create(number=4, kind="pruning", until=trail[-1], count=10, digest="0" * 64)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry WHERE id = %s", [trail[0]])
    assert found() == [("seal", (4,))]


def test_every_pruning_is_shown(trail: list[int]) -> None:
    prune("--older-than=9d", "--no-input")
    last = Seal.objects.order_by("number").last()
    # A role that may insert and delete can state, by the rules, that all of the trail goes.
    kind = Seal.Kind.PRUNING
    assert seals.add_link("default", last, kind=kind, until=trail[-1], count=8)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry")
    assert found() == []
    today, told = f"{timezone.localtime():%Y-%m-%d}", said("verify")
    assert f"Entries up to {trail[1]}, 2 of them, were pruned on {today} (seal 4)." in told
    assert f"Entries up to {trail[-1]}, 8 of them, were pruned on {today} (seal 5)." in told


def test_a_link_that_covers_more_than_there_was_is_found(trail: list[int]) -> None:
    list(seals.seal("default"))
    last = Seal.objects.order_by("number").last()
    with triggers.without_protection(connection):
        # As the owner of the database can, without its triggers.
        assert seals.add_link("default", last, kind="pruning", until=2**62, count=0)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry")
    assert found() == [("seal", (4,))]
    Author.objects.create(name="New")
    new = Entry.objects.latest("pk").pk
    assert found() == [("inserted", (new,)), ("seal", (4,))]


def test_a_run_that_was_broken_off_is_finished_by_the_next(
    trail: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    deletions = 0

    def stop(execute: Any, sql: str, *arguments: Any) -> Any:
        nonlocal deletions
        deletions += "DELETE FROM" in sql
        if deletions == 2:
            raise KeyboardInterrupt
        return execute(sql, *arguments)

    with pytest.raises(KeyboardInterrupt), connection.execute_wrapper(stop):
        prune("--older-than=3d", "--no-input")
    assert keys() == trail[3:]
    assert found() == []
    assert prune("--older-than=3d", "--no-input") == "Removed 5 entries.\n"
    assert keys() == trail[8:]
    assert Seal.objects.filter(kind="pruning").count() == 1


def test_another_run_at_the_same_moment_is_given_way_to(
    trail: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "add_link", lambda *args, **kwargs: None)
    with pytest.raises(CommandError, match="Nothing was removed; run it again"):
        prune("--older-than=3d", "--no-input")
    assert keys() == trail


def test_the_rest_is_still_under_its_seal(trail: list[int]) -> None:
    prune("--older-than=3d", "--no-input")
    force("DELETE FROM audit_entry WHERE id = %s", trail[8])
    assert found() == [("removed", (trail[8],))]
