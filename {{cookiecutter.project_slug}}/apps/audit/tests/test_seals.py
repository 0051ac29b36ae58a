"""Seals show each change of what was sealed, and which; done past the triggers on purpose."""

import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.audit import seals, triggers
from apps.audit.models import Entry, Seal

from .examples.models import Author

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "BATCH", 4)


@pytest.fixture
def keys() -> list[int]:
    """Add eleven entries, seal them in three links, and return their ids."""
    before = set(Entry.objects.values_list("pk", flat=True))
    for number in range(11):
        Author.objects.create(name=f"Author {number}")
    added = Entry.objects.exclude(pk__in=before).order_by("pk")
    links = list(seals.seal("default"))
    assert sum(link.count for link in links) == len(before) + 11
    return list(added.values_list("pk", flat=True))


def force(statement: str, *parameters: Any) -> None:
    """Run a statement past the triggers, as the owner of the database can."""
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def found(**options: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(finding.kind, finding.keys) for finding in seals.verify("default", **options)]


def said(verb: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", verb, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_what_nobody_has_touched_is_as_it_was_sealed(keys: list[int]) -> None:
    assert found() == []
    assert "as it was sealed" in said("verify")


@pytest.mark.parametrize("place", [0, 3, 4, 10])
def test_one_edited_character_is_found(keys: list[int], place: int) -> None:
    cast = "::text::jsonb" if connection.vendor == "postgresql" else ""
    text = "changes::text" if cast else "changes"
    force(
        f"UPDATE audit_entry SET changes = REPLACE({text}, 'Author', 'Auth0r'){cast}"  # noqa: S608
        " WHERE id = %s",
        keys[place],
    )
    assert found() == [("changed", (keys[place],))]


@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_removed_row_is_found(keys: list[int], place: int) -> None:
    force("DELETE FROM audit_entry WHERE id = %s", keys[place])
    assert found() == [("removed", (keys[place],))]


def test_a_removed_seal_is_found(keys: list[int]) -> None:
    force("DELETE FROM audit_seal WHERE number = 2")
    kinds = found()
    assert kinds[:2] == [("seal", (2,)), ("seal", (3,))]
    # Its entries are between the two seals that are left, and in neither.
    assert {kind for kind, _ in kinds[2:]} == {"inserted"}


def test_triggers_that_are_gone_are_found(keys: list[int]) -> None:
    triggers.Triggers(connection, triggers.KEPT).drop()
    with pytest.raises(CommandError, match="not intact: 1 thing"):
        said("verify")
    triggers.install(connection)


def test_sealing_again_adds_nothing_until_something_is_new(keys: list[int]) -> None:
    count = Seal.objects.count()
    assert list(seals.seal("default")) == []
    assert "Nothing new to seal" in said("seal")
    Author.objects.create(name="New")
    assert re.search(r"Sealed 1 entry, up to \d+\.\nLast seal: \d+:[0-9a-f]{64}\n", said("seal"))
    assert Seal.objects.count() == count + 1
    assert found() == []
