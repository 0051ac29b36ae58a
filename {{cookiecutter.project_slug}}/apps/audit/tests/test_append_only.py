"""The database itself refuses to change what is on the trail."""

import io
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from apps.audit.models import Entry, Seal

from .examples.models import Author

pytestmark = pytest.mark.django_db


PRUNING = {"kind": Seal.Kind.PRUNING, "count": 0, "digest": ""}


@pytest.fixture
def entry() -> Entry:
    return Entry.objects.of(Author.objects.create(name="Ada")).get()


def execute(statement: str, *parameters: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


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


def test_flush_is_refused_outside_of_tests(monkeypatch: pytest.MonkeyPatch, entry: Entry) -> None:
    monkeypatch.delattr(mail, "outbox")
    with pytest.raises(CommandError, match="would empty the audit trail"):
        call_command("flush", interactive=False, stdout=io.StringIO())
    assert Entry.objects.filter(pk=entry.pk).exists()
