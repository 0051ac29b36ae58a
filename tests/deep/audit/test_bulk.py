"""Writes of many rows, and what deletions change elsewhere: each row is on the trail."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.audit.models import Entry

from ..examples.models import Article, Author, Tag
from ..trail import actions, changes, last_change
from .models import Club, Hotel, Membership, Note, Place, Review

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Author:
    ada: Author = Author.objects.create(name="Ada")
    return ada


@pytest.fixture
def article(ada: Author) -> Article:
    article: Article = Article.objects.create(title="Old", reads=1, author=ada)
    return article


def test_bulk_create_records_each_row(ada: Author) -> None:
    one, other = Article.objects.bulk_create(
        [Article(title="One", author=ada, access_token="secret"), Article(title="Other")]
    )
    assert last_change(one)["title"] == (None, "One")
    assert last_change(one)["author"] == (None, ada.pk)
    assert last_change(one)["access_token"] == {"masked": True}
    assert last_change(other)["title"] == (None, "Other")


def test_bulk_update_records_what_has_changed(article: Article) -> None:
    other = Article.objects.create(title="Other", reads=5)
    article.title = "New"
    other.reads = F("reads") + 1
    Article.objects.bulk_update([article, other], ["title", "reads"])
    assert last_change(article) == {"title": ("Old", "New")}
    assert last_change(other) == {"reads": (5, 6)}


def test_update_records_what_has_changed_and_masks(article: Article) -> None:
    other = Article.objects.create(title="New")
    count = Article.objects.filter(title__in=["Old", "New"]).update(title="New", access_token="s")
    assert count == 2
    assert last_change(article) == {"title": ("Old", "New"), "access_token": {"masked": True}}
    assert last_change(other) == {"access_token": {"masked": True}}
    assert "'s'" not in str(list(Entry.objects.values_list("changes", flat=True)))
    before = Entry.objects.count()
    assert Article.objects.update(title="New") == 2
    assert Entry.objects.count() == before


def test_delete_records_each_row(article: Article) -> None:
    other = Article.objects.create(title="Other")
    Article.objects.all().delete()
    for pk, title in ((article.pk, "Old"), (other.pk, "Other")):
        assert last_change(Article(pk=pk))["title"] == (title, None)


def test_a_deletion_records_what_it_sets_elsewhere(article: Article) -> None:
    tag, note = Tag.objects.create(slug="a"), Note.objects.create(article=article, text="One")
    other = Tag.objects.create(slug="b")
    author = Author.objects.create(name="Bob")
    review = Review.objects.create(article=article, author=author, tag=other, note=note)
    pk, note_pk, author_pk = article.pk, note.pk, author.pk
    article.delete()
    author.delete()
    other.delete()
    recorded: dict[str, Any] = {}
    for change in changes(review)[1:]:
        recorded |= change
    assert recorded == {
        "article": (pk, None),
        "note": (str(note_pk), None),
        "author": (author_pk, None),
        "tag": ("b", tag.pk),
    }
    assert actions(Note(pk=note_pk)) == ["create", "delete"]


def test_bulk_create_ignoring_conflicts_records_what_was_inserted() -> None:
    Tag.objects.create(slug="a")
    Tag.objects.bulk_create([Tag(slug="a"), Tag(slug="b")], ignore_conflicts=True)
    assert actions(Tag(slug="a")) == actions(Tag(slug="b")) == ["create"]


def test_bulk_create_updating_conflicts_records_what_became_of_each_row(ada: Author) -> None:
    options: Any = {"update_conflicts": True, "update_fields": ["name"], "unique_fields": ["id"]}
    same = Author.objects.create(name="Same")
    rows = [Author(pk=ada.pk, name="Bob"), Author(pk=same.pk, name="Same")]
    Author.objects.bulk_create([*rows, Author(pk=ada.pk + 1000, name="Eve")], **options)
    assert changes(ada) == [{"name": (None, "Ada")}, {"name": ("Ada", "Bob")}]
    assert actions(same) == ["create"]
    assert changes(Author(pk=ada.pk + 1000)) == [{"name": (None, "Eve")}]


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


def test_an_updated_key_is_a_deletion_and_a_creation(article: Article) -> None:
    other = Article.objects.create(title="Other")
    Article.objects.filter(pk=article.pk).update(id=other.pk + 1000, title="New")
    moved = Article(pk=other.pk + 1000)
    assert actions(article) == ["create", "delete"]
    assert last_change(article)["title"] == ("Old", None)
    assert actions(moved) == ["create"]
    assert (last_change(moved)["title"], last_change(moved)["reads"]) == ((None, "New"), (None, 1))
    assert actions(other) == ["create"]


def test_what_cannot_be_updated_is_refused_as_without_the_trail(article: Article) -> None:
    with pytest.raises(TypeError, match="slice"):
        Article.objects.all()[:1].update(title="New")
    assert actions(article) == ["create"]


def test_rows_that_nothing_has_loaded_have_their_names(article: Article) -> None:
    Article.objects.filter(pk=article.pk).update(title="Renamed")
    one, _ = Article.objects.bulk_create([Article(title="One"), Article(title="Other")])
    Article.objects.all().delete()
    for row, names in ((article, ["Old", "Renamed", "Renamed"]), (one, ["One"] * 2)):
        entries = Entry.objects.named("audit_examples.Article", str(row.pk)).reverse()
        assert [entry.object_repr for entry in entries] == names


def test_links_have_the_name_that_the_trail_knew_last(article: Article) -> None:
    tag = Tag.objects.create(slug="a")
    article.tags.add(tag)
    Article.objects.filter(pk=article.pk).update(title="New")
    tag.articles.clear()
    names = [entry.object_repr for entry in Entry.objects.of(article).reverse()]
    assert names == ["Old", "Old", "New", "New"]


def test_what_goes_along_is_not_loaded_for_its_name(ada: Author, article: Article) -> None:
    pk = article.pk
    with CaptureQueriesContext(connection) as queries:
        ada.delete()
    assert Entry.objects.of(Article(pk=pk))[0].object_repr == "Old"
    loading = [sql for query in queries if "SELECT" in (sql := query["sql"])]
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
