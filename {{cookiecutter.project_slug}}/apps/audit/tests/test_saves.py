"""Entries of writes to one row, to many rows and to links."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.models import F

from apps.audit.models import Entry
from apps.core.dispatch import mute

from .examples.models import Article, Author, Tag
from .trail import actions, changes, last_change

pytestmark = pytest.mark.django_db


@pytest.fixture
def article() -> Article:
    article: Article = Article.objects.create(title="Old", body="Text", reads=1)
    return article


def test_a_creation_records_every_field() -> None:
    article = Article.objects.create(title="New", price=Decimal("1.5"))
    (entry,) = Entry.objects.of(article)
    assert (entry.action, entry.model_label) == ("create", "audit_examples.Article")
    assert (entry.object_id, entry.object_repr) == (str(article.pk), "New")
    assert entry.changes["title"] == {"old": None, "new": "New"}
    assert entry.changes["price"] == {"old": None, "new": "1.50"}
    assert not {"id", "reads_twice", "tags"} & entry.changes.keys()


def test_an_update_records_what_was_written_over_and_nothing_else(article: Article) -> None:
    Article.objects.get(pk=article.pk).save()
    stale = Article.objects.get(pk=article.pk)
    article.title = "In between"
    article.reads = F("reads") + 1
    article.save()
    stale.title, stale.body = "New", "Never written"
    stale.save(update_fields=["title"])
    assert changes(article)[1:] == [
        {"title": ("Old", "In between"), "reads": (1, 2)},
        {"title": ("In between", "New")},
    ]


def test_many_rows_are_recorded_one_by_one_and_so_is_a_cascade(article: Article) -> None:
    ada = Author.objects.create(name="Ada")
    (other,) = Article.objects.bulk_create([Article(title="Other", access_token="hunter2")])
    article.author = other.author = ada
    Article.objects.bulk_update([article, other], ["author"])
    for _ in range(2):
        Article.objects.update(title="New", access_token="hunter3")
    author, masked = (None, ada.pk), {"masked": True}
    ada.delete()
    for row, title in ((article, "Old"), (other, "Other")):
        assert actions(row) == ["create", "update", "update", "delete"]
        step = {"title": (title, "New"), "access_token": masked}
        assert changes(row)[1:3] == [{"author": author}, step]
        assert last_change(row)["author"] == author[::-1]
    assert "hunter" not in str(list(Entry.objects.values_list("changes", flat=True)))


def test_links_are_recorded_from_either_side_as_they_turned_out(article: Article) -> None:
    one, other = Tag.objects.create(slug="a"), Tag.objects.create(slug="b")
    article.tags.add(one)
    article.tags.add(one, other)
    other.articles.remove(article)
    other.articles.remove(article)
    article.tags.clear()
    found = [step["tags"] for step in changes(article)[1:]]
    assert [step["added"] for step in found] == [["a"], ["b"], [], []]
    assert [step["removed"] for step in found] == [[], [], ["b"], ["a"]]
    assert actions(other) == ["create"]


def test_sql_and_upserts_are_recorded_whatever_is_muted(article: Article) -> None:
    with mute(Author, Article):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE audit_examples_article SET reads = 7")
        ada = Author.objects.create(name="Ada")
        options: Any = {"unique_fields": ["id"], "update_fields": ["name"]}
        Author.objects.bulk_create([Author(pk=ada.pk, name="B")], update_conflicts=True, **options)
    assert last_change(article) == {"reads": (1, 7)}
    assert changes(ada) == [{"name": (None, "Ada")}, {"name": ("Ada", "B")}]


@pytest.mark.django_db(transaction=True)
def test_without_its_entry_no_change_is_kept() -> None:
    Article.objects.create(title="Old")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry RENAME COLUMN changes TO lost")
        try:
            for write in (Author.objects.create, Article.objects.all().delete):
                with pytest.raises(DatabaseError):
                    write()
        finally:
            cursor.execute("ALTER TABLE audit_entry RENAME COLUMN lost TO changes")
    assert (Article.objects.count(), Author.objects.count()) == (1, 0)
