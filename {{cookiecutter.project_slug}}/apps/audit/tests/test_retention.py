"""Old entries go, and nothing else; the chain of seals stays whole."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.audit import retention, seals, triggers
from apps.audit.models import Entry, Seal

from .examples.models import Author

pytestmark = pytest.mark.django_db


NOW = timezone.now()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "BATCH", 4)
    monkeypatch.setattr(retention, "BATCH", 3)


@pytest.fixture
def trail() -> list[int]:
    """Make a trail of ten entries, of which each is a day younger than the one before it."""
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry")
    for days in range(10, 0, -1):
        values: dict[str, Any] = {"object_repr": f"{days} days old"}
        Entry(created_at=NOW - timedelta(days=days, minutes=1), **values).save()
    return list(Entry.objects.order_by("pk").values_list("pk", flat=True))


def keys() -> list[int]:
    return list(Entry.objects.order_by("pk").values_list("pk", flat=True))


def prune(*arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", "prune", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_what_is_old_goes(trail: list[int]) -> None:
    assert prune("--older-than=3d", "--no-input") == "Removed 8 entries.\n"
    assert keys() == trail[8:]
    (link,) = Seal.objects.filter(kind="pruning")
    assert (link.until, link.count) == (trail[7], 8)
    assert list(seals.verify("default")) == []
    count = Seal.objects.count()
    assert prune("--older-than=3d", "--no-input") == "No entry is that old.\n"
    assert Seal.objects.count() == count


def test_the_chain_stays_verifiable(trail: list[int]) -> None:
    list(seals.seal("default"))
    prune("--older-than=5d", "--no-input")
    assert len(keys()) == 4
    assert list(seals.verify("default")) == []
    Author.objects.create(name="New")
    list(seals.seal("default"))
    assert [seal.kind for seal in Seal.objects.all()] == ["entries"] * 3 + ["pruning", "entries"]
    assert list(seals.verify("default")) == []
    # What is left is still under its seal.
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry WHERE id = %s", [trail[7]])
    assert [finding.keys for finding in seals.verify("default")] == [(trail[7],)]
