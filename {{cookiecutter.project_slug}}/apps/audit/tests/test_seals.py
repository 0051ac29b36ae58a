"""Seals show changes of sealed entries that bypass the triggers."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.audit import fingerprints, seals, tasks, triggers
from apps.audit.models import Entry, Seal

from .examples.models import Author

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "BATCH", 4)


@pytest.fixture
def keys() -> list[int]:
    """Seal eleven new entries, and return their ids."""
    before = set(Entry.objects.values_list("pk", flat=True))
    for number in range(11):
        Author.objects.create(name=f"Author {number}")
    added = Entry.objects.exclude(pk__in=before).order_by("pk")
    assert sum(link.count for link in seals.seal("default")) == len(before) + 11
    return list(added.values_list("pk", flat=True))


def force(statement: str, *parameters: Any) -> None:
    """Run a statement that bypasses the triggers, as the owner of the database can."""
    with triggers.without_protection(connection), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def found(**options: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(finding.kind, finding.keys) for finding in seals.verify("default", **options)]


def said(verb: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", verb, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_an_untouched_trail_has_no_findings(keys: list[int]) -> None:
    last = Seal.objects.latest("number")
    assert said("seal") == f"Sealed 0 entries.\nLast seal: {last}\n"
    Author.objects.create(name="New")
    assert "are not sealed yet" in said("verify", f"--noted={last}")
    assert "Sealed 1 entry.\n" in said("seal")
    assert said("verify") == f"The trail is as it was sealed, up to seal {last.number + 1}.\n"


def test_a_changed_and_a_removed_entry_are_found(keys: list[int]) -> None:
    force("UPDATE audit_entry SET object_repr = 'Auth0r' WHERE id = %s", keys[5])
    assert found() == [("changed", (keys[5],))]
    force("DELETE FROM audit_entry WHERE id = %s", keys[5])
    assert found() == [("removed", (keys[5],))]
    with pytest.raises(CommandError, match="Findings: 1"):
        said("verify")


def test_the_periodic_job_seals_and_notes_the_last_seal(
    keys: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    Author.objects.create(name="New")
    with caplog.at_level("INFO", logger="apps.audit"):
        tasks.seal.call()
        tasks.seal.call()  # nothing is new
    assert seals.covered("default") == Entry.objects.latest("pk").pk
    assert caplog.messages == [f"Last seal in default: {Seal.objects.latest('number')}"]
