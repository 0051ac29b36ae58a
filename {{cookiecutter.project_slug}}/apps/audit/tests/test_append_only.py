"""The database itself refuses to change what is on the trail, from Python and from SQL."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.audit.models import Entry, Seal

from .examples.models import Author

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry() -> Entry:
    return Entry.objects.of(Author.objects.create(name="Ada")).get()


def execute(statement: str, *parameters: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda entry: entry.save(),
        lambda entry: entry.delete(),
        lambda entry: Entry.objects.update(actor_name="nobody"),
        lambda entry: Entry.objects.filter(pk=entry.pk).delete(),
        lambda entry: execute("UPDATE audit_entry SET id = -1 WHERE id = %s", entry.pk),
        lambda entry: execute("DELETE FROM audit_entry WHERE id >= %s", entry.pk),
    ],
)
def test_an_entry_stays_as_it_is(entry: Entry, attempt: Callable[[Entry], object]) -> None:
    before = list(Entry.objects.values())
    with pytest.raises(IntegrityError, match="append-only: audit_entry"), transaction.atomic():
        attempt(Entry.objects.get(pk=entry.pk))
    assert list(Entry.objects.values()) == before


def test_only_what_a_pruning_covers_can_be_deleted(entry: Entry) -> None:
    kept = Entry.objects.of(Author.objects.create(name="Bob")).get()
    count = Entry.objects.filter(pk__lte=entry.pk).count()
    Seal.objects.create(number=1, kind="pruning", until=entry.pk, count=count, digest="")
    with pytest.raises(IntegrityError):
        execute("DELETE FROM audit_entry WHERE id >= %s", entry.pk)
    execute("DELETE FROM audit_entry WHERE id = %s", entry.pk)
    assert list(Entry.objects.filter(pk__gte=entry.pk)) == [kept]
