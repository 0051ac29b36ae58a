"""Objects as they were, and the way back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.audit.restore import restore, state_after, state_at
from apps.core.actor import acting_as

from .examples.models import (
    Article,
    Author,
    Note,
    Tag,
)

pytestmark = pytest.mark.django_db


def latest(instance: Model) -> Entry:
    return Entry.objects.of(instance)[0]


@pytest.fixture
def article() -> Article:
    """Make an article whose every state is on the trail."""
    article = Article.objects.create(
        title="First", price="1.50", details={"a": [1, None]}, picture=b"\x00\x01",
        published_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), lasts=timedelta(days=1, seconds=1),
        author=Author.objects.create(name="Ada"), access_token="one",
    )  # fmt: skip
    article.tags.add(Tag.objects.create(slug="a"), Tag.objects.create(slug="b"))
    found: Article = Article.objects.get()
    return found


def columns() -> dict[str, Any]:
    values: dict[str, Any] = Article.objects.values().get()
    return values


def tags(instance: Article) -> set[str]:
    return {tag.pk for tag in instance.tags.all()}


def test_an_object_gets_back_what_it_was(article: Article, admin_user: Any) -> None:
    then, before = latest(article), columns()
    article.title = "Second"
    article.price = article.details = article.author = article.picture = None
    article.reads += 5
    article.save()
    article.tags.set([Tag.objects.create(slug="c")])
    with acting_as(admin_user):
        result = restore(state_after(then))
    assert columns() == before
    assert tags(article) == {"a", "b"}
    assert (result.instance, result.unknown, result.gone) == (article, frozenset(), {})
    # The restoration is on the trail itself, and can be undone by it.
    column, removed, added = reversed(Entry.objects.of(article)[:3])
    assert (column.action, column.actor_name) == ("update", "admin")
    assert column.changes["title"] == {"old": "Second", "new": "First"}
    assert removed.changes["tags"]["removed"] == ["c"]
    assert sorted(added.changes["tags"]["added"]) == ["a", "b"]


def test_a_state_at_a_time(article: Article) -> None:
    entry = latest(article)
    article.title = "Second"
    article.save()
    assert state_at(Article, article.pk, timezone.now()).values["title"] == "Second"
    assert state_at(Article, article.pk, entry.created_at).values["title"] == "First"
    long_ago = entry.created_at - timedelta(days=1)
    assert not state_at(Article, article.pk, long_ago).exists


def test_a_deleted_object_comes_back_with_its_links(article: Article) -> None:
    then, before, pk = latest(article), columns(), article.pk
    (tag, other) = (Tag.objects.get(pk="a"), Tag.objects.create(slug="c"))
    article.tags.remove(tag)
    article.tags.add(tag, other)
    article.tags.remove(other)
    Note.objects.create(article=article, text="Goes along")
    article.delete()
    result = restore(state_after(then))
    assert result.instance.pk == pk
    assert result.unknown == {"access_token"}
    assert columns() == before | {"access_token": ""}
    assert tags(Article.objects.get()) == {"a", "b"}
    assert latest(Article.objects.get()).changes["tags"]["added"] == ["a", "b"]
    # Others that the deletion took along are restored by themselves, after it.
    assert not Note.objects.exists()
    gone = Entry.objects.filter(model_label="audit_examples.Note").last()
    assert gone is not None
    restore(state_after(gone))
    assert Note.objects.get().text == "Goes along"


def test_secrets_cannot_be_restored() -> None:
    user = User.objects.create_user("ada", password="first")
    then = latest(user)
    assert state_after(then).unknown == {"last_login"}
    user.set_password("second")
    user.email = "ada@example.com"
    user.save()
    state = state_after(then)
    assert state.unknown == {"last_login", "password"}
    result = restore(state)
    user.refresh_from_db()
    assert (user.email, user.check_password("second")) == ("", True)
    assert result.unknown == {"last_login", "password"}
    user.delete()
    restored: Any = restore(state_after(then)).instance
    assert (restored.username, restored.password) == ("ada", "")
