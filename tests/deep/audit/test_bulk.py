"""Writes of many rows, and what deletions change elsewhere: each row is on the trail."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, NotSupportedError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.audit.models import Entry

from ..examples.models import Article, Author, Club, Hotel, Membership, Place, Review, Tag
from ..test_bulk import ada, article
from ..trail import actions, changes, last_change

pytestmark = pytest.mark.django_db


def test_bulk_create_ignoring_conflicts_records_what_was_inserted() -> None:
    Tag.objects.create(slug="a")
    Tag.objects.bulk_create([Tag(slug="a"), Tag(slug="b")], ignore_conflicts=True)
    assert actions(Tag(slug="a")) == actions(Tag(slug="b")) == ["create"]


def test_bulk_create_updating_conflicts_is_refused(ada: Author) -> None:
    options: Any = {"update_conflicts": True, "update_fields": ["name"], "unique_fields": ["id"]}
    with pytest.raises(NotSupportedError, match=r"refused for audit_examples.Author.*overwritten"):
        Author.objects.bulk_create([Author(pk=ada.pk, name="Bob")], **options)
    ada.refresh_from_db()
    assert ada.name == "Ada"


def test_update_with_the_time_of_the_database_records_what_was_stored(article: Article) -> None:
    Article.objects.update(published_at=Now(), reads=F("reads") * 2)
    article.refresh_from_db()
    assert last_change(article)["reads"] == (1, 2)
    _, new = last_change(article)["published_at"]
    field: Any = Article._meta.get_field("published_at")
    assert field.to_python(new) == article.published_at


def test_update_across_tables_records_the_rows_that_matched(article: Article) -> None:
    other = Article.objects.create(title="Other")
    assert Article.objects.filter(author__name="Ada").update(title="By Ada") == 1
    assert last_change(article) == {"title": ("Old", "By Ada")}
    assert actions(other) == ["create"]
    assert Article.objects.none().update(title="Nothing") == 0


def test_update_of_a_child_records_the_columns_of_its_parent() -> None:
    hotel = Hotel.objects.create(name="Old", beds=1)
    place = Place.objects.create(name="Other")
    Hotel.objects.update(name="New", beds=2)
    labels = {entry.model_label: entry.changes for entry in Entry.objects.of(hotel)[:2]}
    assert labels == {
        "audit_examples.Place": {"name": {"old": "Old", "new": "New"}},
        "audit_examples.Hotel": {"beds": {"old": 1, "new": 2}},
    }
    assert actions(place) == ["create"]


def test_a_key_cannot_be_updated(article: Article) -> None:
    with pytest.raises(NotSupportedError, match="would be another object"), transaction.atomic():
        Article.objects.filter(pk=article.pk).update(id=1000)


def test_what_cannot_be_updated_is_refused_as_without_the_trail(article: Article) -> None:
    with pytest.raises(TypeError, match="slice"):
        Article.objects.all()[:1].update(title="New")
    assert actions(article) == ["create"]


def test_what_has_no_instance_at_hand_keeps_the_name_it_was_known_by(article: Article) -> None:
    other = Article.objects.create(title="Other")
    Article.objects.filter(pk=other.pk).update(title="Renamed unseen")
    article.tags.add(Tag.objects.create(slug="a"))
    Article.objects.bulk_create([Article(title="Never known"), Article(title="Never known")])
    Article.objects.all().delete()
    names = Entry.objects.filter(model_label=Article._meta.label, action="delete")
    assert sorted(names.values_list("object_repr", flat=True)) == ["", "", "Old", "Other"]
    assert {entry.object_repr for entry in Entry.objects.of(Article(pk=article.pk))} == {"Old"}


def test_what_goes_along_keeps_the_name_it_was_known_by(ada: Author, article: Article) -> None:
    with CaptureQueriesContext(connection) as queries:
        ada.delete()
    assert Entry.objects.of(article)[0].object_repr == "Old"
    loading = [sql for query in queries if (sql := query["sql"]).startswith("SELECT")]
    assert [sql for sql in loading if '"title"' in sql] == []


def test_raw_delete_is_recorded(article: Article) -> None:
    review = Review.objects.create(stars=3)
    Review.objects.filter(stars=3)._raw_delete("default")
    assert last_change(review)["stars"] == (3, None)


def test_a_deletion_of_either_end_records_the_links_that_go(article: Article) -> None:
    tags = [Tag.objects.create(slug=slug) for slug in "ab"]
    article.tags.set(tags)
    tags[0].delete()
    assert last_change(article) == {"tags": {"added": [], "removed": ["a"]}}
    pk = article.pk
    article.delete()
    steps = changes(Article(pk=pk))
    assert steps[-2] == {"tags": {"added": [], "removed": ["b"]}}
    assert steps[-1]["title"] == ("Old", None)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite counts parameters")
def test_what_a_full_statement_writes_is_recorded(ada: Author) -> None:
    """Django fills a statement with as many keys as the database takes parameters."""
    limit = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1000)
    try:
        clubs = Club.objects.bulk_create(Club(name="One") for _ in range(1001))
        Membership.objects.bulk_create(Membership(club=club, author=ada) for club in clubs)
        Club.objects.filter(pk__in=[club.pk for club in clubs[:998]]).update(name="Two")
        Club.objects.all().delete()
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, limit)
    entries = Entry.objects.filter(model_label=Club._meta.label, action="update")
    assert entries.filter(changes__has_key="name").count() == 998
    assert entries.filter(changes__members__removed=[ada.pk]).count() == 1001


def test_links_through_a_model_are_recorded_however_they_are_made(ada: Author) -> None:
    club = Club.objects.create(name="One")
    bob = Author.objects.create(name="Bob")
    membership = Membership.objects.create(club=club, author=ada)
    club.members.add(bob, through_defaults={"role": "guest"})
    membership.delete()
    Membership.objects.all().delete()
    assert [change["members"] for change in changes(club)[1:]] == [
        {"added": [ada.pk], "removed": []},
        {"added": [bob.pk], "removed": []},
        {"added": [], "removed": [ada.pk]},
        {"added": [], "removed": [bob.pk]},
    ]


def test_related_objects_that_are_moved_are_recorded(ada: Author, article: Article) -> None:
    bob = Author.objects.create(name="Bob")
    bob.article_set.add(article)
    bob.article_set.clear()
    assert changes(article)[1:] == [{"author": (ada.pk, bob.pk)}, {"author": (bob.pk, None)}]


def test_many_rows_are_recorded_in_the_database_of_the_change(other_database: str) -> None:
    authors = Author.objects.using(other_database)
    authors.bulk_create([Author(name="Ada"), Author(name="Bob")])
    authors.update(name="New")
    authors.all().delete()
    entries = Entry.objects.using(other_database).order_by("pk").values_list("action", flat=True)
    assert list(entries) == ["create"] * 2 + ["update"] * 2 + ["delete"] * 2
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "delete",
    [
        pytest.param(lambda row: row.delete(), id="delete"),
        pytest.param(lambda row: Review.objects.all()._raw_delete("default"), id="_raw_delete"),
    ],
)
def test_a_deletion_that_fails_leaves_no_entry(delete: Callable[[Review], Any]) -> None:
    review: Review = Review.objects.create(stars=3)

    def refuse(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if "DELETE FROM" in sql:
            raise DatabaseError("no")
        return execute(sql, *args)

    with pytest.raises(DatabaseError), connection.execute_wrapper(refuse):
        delete(review)
    assert Review.objects.exists()
    assert actions(review) == ["create"]
