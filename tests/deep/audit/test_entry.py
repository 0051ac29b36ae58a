"""An entry can be added, and then neither changed nor deleted from Python."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from apps.audit.models import Entry

from ..examples.models import Author
from .models import Place, Restaurant

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


def test_a_key_that_is_taken_cannot_be_written_over() -> None:
    Author.objects.create(name="Ada")
    before = Entry.objects.values().get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Entry(**before | {"actor_name": "nobody"}).save()
    assert Entry.objects.values().get() == before


def test_ids_order_the_history_of_an_object() -> None:
    author = Author.objects.create(name="One")
    Author.objects.create(name="Other")
    for name in ("Two", "Three"):
        author.name = name
        author.save()
    history = Entry.objects.of(author)
    assert [entry.changes["name"]["new"] for entry in history] == ["Three", "Two", "One"]


def test_the_history_of_a_child_has_what_was_recorded_of_its_parent() -> None:
    restaurant = Restaurant.objects.create(name="One")
    assert list(Entry.objects.of(restaurant)) == list(
        Entry.objects.of(Place.objects.get(pk=restaurant.pk))
    )
    assert Entry.objects.of(restaurant).count() == 1


def test_an_entry_says_what_it_is() -> None:
    Author.objects.create(name="Ada")
    assert str(Entry.objects.get()) == "Created audit_examples.Author Ada"
