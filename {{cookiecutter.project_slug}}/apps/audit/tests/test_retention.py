"""Old entries go, and nothing else; the chain of seals stays whole."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.audit import seals, tasks, triggers
from apps.audit.models import Entry, Seal

from .test_seals import found, said

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make a trail of ten entries, of which each is a day younger than the one before it."""
    monkeypatch.setattr(seals, "REMOVED", 3)
    with triggers.without_protection(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_entry")
    for days in range(10, 0, -1):
        moment = NOW - timedelta(days=days, minutes=1)
        Entry(created_at=moment, object_repr=f"{days} days old").save()
    return keys()


def keys() -> list[int]:
    return list(Entry.objects.order_by("pk").values_list("pk", flat=True))


def prune(*arguments: str) -> str:
    return said("prune", *arguments)


def test_old_entries_go_and_the_chain_stays_verifiable(trail: list[int]) -> None:
    assert "Would remove 8 entries from before" in prune("--older-than=3d", "--dry-run")
    assert prune("--older-than=3d", "--no-input") == "Removed 8 entries.\n"
    assert keys() == trail[8:]
    (link,) = Seal.objects.filter(kind="pruning")
    assert (link.until, link.count) == (trail[7], 8)
    assert found() == []
    assert prune("--older-than=3d", "--no-input") == "No entry is that old.\n"
    assert Seal.objects.latest("number") == link


def test_the_periodic_job_prunes_when_the_settings_say_so(
    trail: list[int], settings: Settings
) -> None:
    tasks.prune.call()
    assert keys() == trail
    settings.AUDIT_KEPT_DAYS = 3
    tasks.prune.call()
    assert keys() == trail[8:]
    assert found() == []
