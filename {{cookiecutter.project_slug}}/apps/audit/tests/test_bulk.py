"""Writes of many rows, and what deletions change elsewhere: each row is on the trail."""

from typing import Any

import pytest
from django.db.models import F

from apps.audit.models import Entry

from .examples.models import Article, Author, Note, Review, Tag
from .trail import actions, changes, last_change

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
