"""Objects as they were, and the way back."""

from datetime import time, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Model
from django.utils import timezone

from apps.audit.models import Entry
from apps.audit.restore import restore, state_after, state_at
from apps.core.actor import acting_as

from .examples.models import Article, Author, Tag

pytestmark = pytest.mark.django_db


def latest(instance: Model) -> Entry:
    return Entry.objects.of(instance)[0]


@pytest.fixture
def article() -> Article:
    """Make an article whose every state is on the trail."""
    article = Article.objects.create(
        title="First", price="1.50", details={"a": [1, None]}, picture=b"\x00\x01",
        published_at=timezone.now(), opens_at=time(1), lasts=timedelta(1), reference=UUID(int=1),
        rating=0.1, author=Author.objects.create(name="Ada"), access_token="one",
    )  # fmt: skip
    article.tags.add(Tag.objects.create(slug="a"), Tag.objects.create(slug="b"))
    found: Article = Article.objects.get()
    return found


def tags(instance: Article) -> set[str]:
    return {tag.pk for tag in instance.tags.all()}


def test_an_object_gets_back_what_it_was(article: Article, admin_user: Any) -> None:
    then, before = latest(article), Article.objects.values().get()
    article.title = "Second"
    article.price = article.details = article.author = article.picture = None
    article.save()
    article.tags.set([Tag.objects.create(slug="c")])
    assert not state_at(Article, article.pk, then.created_at - timedelta(days=1)).exists
    with acting_as(admin_user):
        instance, changed = restore(state_after(then))
    assert Article.objects.values().get() == before
    assert tags(article) == {"a", "b"}
    assert (instance, changed) == (article, set())
    # The restoration is on the trail itself, and can be undone by it.
    assert latest(article).changes == {"": {"entry": then.pk}}
    column = Entry.objects.of(article).filter(changes__has_key="title")[0]
    assert (column.action, column.actor_name) == ("update", "admin")
    assert column.changes["title"] == {"old": "Second", "new": "First"}
