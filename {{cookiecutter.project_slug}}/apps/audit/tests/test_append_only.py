"""The database itself refuses to change what is on the trail, from Python and from SQL."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.audit.models import Entry

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
def test_an_entry_stays_as_it_is(entry: Entry, attempt: Any) -> None:
    before = list(Entry.objects.values())
    with pytest.raises(IntegrityError, match="append-only: audit_entry"), transaction.atomic():
        attempt(Entry.objects.get(pk=entry.pk))
    assert list(Entry.objects.values()) == before
