"""An entry can be added, and then neither changed nor deleted."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from apps.audit.models import Entry

from .examples.models import Author

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: Entry.objects.get().save(),
        lambda: Entry.objects.get().save(update_fields=["actor_name"]),
        lambda: Entry.objects.get().delete(),
        lambda: Entry.objects.update(actor_name="nobody"),
        lambda: Entry.objects.filter(action="create").delete(),
        lambda: Entry.objects.bulk_update([Entry.objects.get()], ["actor_name"]),
        lambda: Entry.objects.update_or_create(
            defaults={"actor_name": "nobody"}, pk=Entry.objects.get().pk
        ),
    ],
)
def test_an_entry_stays_as_it_is(attempt: Callable[[], object]) -> None:
    Author.objects.create(name="Ada")
    before = Entry.objects.values().get()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        attempt()
    assert Entry.objects.values().get() == before
