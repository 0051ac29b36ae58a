"""One object at a time: what a save, a deletion and their failures leave on the trail."""

from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from apps.audit.models import Entry
from apps.core.dispatch import mute

from .examples.models import Article, Author, Note, Place, Restaurant
from .trail import actions, changes, last_change

pytestmark = pytest.mark.django_db


@pytest.fixture
def article() -> Article:
    article: Article = Article.objects.create(title="Old", body="Text", reads=1)
    return article


def test_a_creation_records_every_field() -> None:
    author = Author.objects.create(name="Ada")
    article = Article.objects.create(title="New", author=author, price=Decimal("1.5"))
    (entry,) = Entry.objects.of(article)
    assert entry.action == Entry.Action.CREATE
    assert entry.object_id == str(article.pk)
    assert entry.object_repr == "New"
    assert entry.model_label == "audit_examples.Article"
    assert entry.changes["title"] == {"old": None, "new": "New"}
    assert entry.changes["author"] == {"old": None, "new": author.pk}
    assert entry.changes["price"] == {"old": None, "new": "1.50"}
    assert entry.changes["published_on"] == {"old": None, "new": None}
    assert not {"id", "reads_twice", "tags"} & entry.changes.keys()


def test_an_update_records_the_changed_fields_only(article: Article) -> None:
    article.title = "New"
    article.save()
    assert last_change(article) == {"title": ("Old", "New")}


def test_a_save_that_changes_nothing_records_nothing(article: Article) -> None:
    article.save()
    Article.objects.get(pk=article.pk).save()
    assert actions(article) == ["create"]


def test_update_fields_record_what_was_written(article: Article) -> None:
    article.title = "Dirty"
    article.body = "New"
    article.save(update_fields=["body"])
    assert last_change(article) == {"body": ("Text", "New")}


def test_expressions_record_their_result(article: Article) -> None:
    article.reads = F("reads") + 1
    article.title = Concat(F("title"), Value("er"))
    article.save()
    assert last_change(article) == {"reads": (1, 2), "title": ("Old", "Older")}


def test_a_stale_copy_records_what_it_overwrites(article: Article) -> None:
    stale = Article.objects.get(pk=article.pk)
    article.title = "In between"
    article.save()
    stale.body = "New"
    stale.save()
    assert last_change(article) == {"title": ("In between", "Old"), "body": ("Text", "New")}


def test_a_deletion_records_what_was_in_the_database(article: Article) -> None:
    pk = article.pk
    article.title = "Never saved"
    article.delete()
    article.pk = pk
    entry = Entry.objects.of(article).get(action="delete")
    assert entry.changes["title"] == {"old": "Old", "new": None}


def test_a_cascade_records_the_children(article: Article) -> None:
    author = Author.objects.create(name="Ada")
    article.author = author
    article.save()
    note = Note.objects.create(article=article, text="Read this")
    Author.objects.get(pk=author.pk).delete()
    assert actions(note) == ["create", "delete"]
    assert last_change(note) == {"article": (article.pk, None), "text": ("Read this", None)}
    assert actions(article) == ["create", "update", "delete"]


def test_a_child_is_recorded_as_its_audited_parent() -> None:
    restaurant = Restaurant.objects.create(name="Old", stars=1)
    restaurant.name = "New"
    restaurant.stars = 2
    restaurant.save()
    assert changes(Place(pk=restaurant.pk)) == [{"name": (None, "Old")}, {"name": ("Old", "New")}]
    pk = restaurant.pk
    restaurant.delete()
    assert actions(Place(pk=pk)) == ["create", "update", "delete"]


def test_secrets_are_not_recorded_but_their_change_is(article: Article) -> None:
    article.access_token = "hunter2"
    article.save()
    assert last_change(article) == {"access_token": {"masked": True}}
    assert "hunter2" not in str(list(Entry.objects.values_list("changes", flat=True)))


def test_a_login_writes_no_entry_and_a_password_no_hash(client: Any, admin_user: Any) -> None:
    before = actions(admin_user)
    client.force_login(admin_user)
    assert actions(admin_user) == before
    admin_user.set_password("another")
    admin_user.save()
    assert last_change(admin_user) == {"password": {"masked": True}}


def test_mute_does_not_silence_the_trail() -> None:
    with mute(Author):
        author = Author.objects.create(name="Ada")
    assert actions(author) == ["create"]


def test_a_rollback_takes_the_entry_along(article: Article) -> None:
    with transaction.atomic():
        article.title = "New"
        article.save()
        transaction.set_rollback(True)
    assert actions(article) == ["create"]


def test_entries_go_to_the_database_of_the_change(other_database: str) -> None:
    author = Author.objects.using(other_database).create(name="Ada")
    author.name = "Ada L."
    author.save()
    pk = author.pk
    author.delete()
    entries = Entry.objects.using(other_database).of(Author(pk=pk)).reverse()
    assert [entry.action for entry in entries] == ["create", "update", "delete"]
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_without_its_entry_no_change_is_kept(in_transaction: bool) -> None:
    article = Article.objects.create(title="Old")
    author = Author.objects.create(name="Ada")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry RENAME TO audit_lost")
    try:
        for write in (
            lambda: Author.objects.create(name="Bob"),
            lambda: Article(pk=article.pk, title="New").save(),
            lambda: author.delete(),
            lambda: article.related.add(article),
            lambda: Author.objects.bulk_create([Author(name="Bob"), Author(name="Eve")]),
            lambda: Article.objects.update(title="New"),
            lambda: Article.objects.update(title=Value("New")),
            lambda: Author.objects.all().delete(),
            lambda: Article.objects.all()._raw_delete("default"),
        ):
            # The error is caught inside the transaction, which is rolled back nevertheless.
            with (
                transaction.atomic() if in_transaction else nullcontext(),
                pytest.raises(DatabaseError),
            ):
                write()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE audit_lost RENAME TO audit_entry")
    assert list(Author.objects.values_list("name", flat=True)) == ["Ada"]
    assert Article.objects.get().title == "Old"
    assert not article.related.exists()
