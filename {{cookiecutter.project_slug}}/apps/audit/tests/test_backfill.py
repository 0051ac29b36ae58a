"""Objects that are older than the trail."""

import pytest

from apps.audit.models import Entry

from .conftest import before_the_trail
from .examples.models import Article, Author, Tag
from .test_seals import said
from .trail import actions

pytestmark = pytest.mark.django_db
ARTICLE = "audit_examples.Article"


@pytest.fixture
def article() -> Article:
    with before_the_trail():
        author = Author.objects.create(name="Ada")
        article: Article = Article.objects.create(title="First", author=author, access_token="one")
        article.tags.add(Tag.objects.create(slug="a"), Tag.objects.create(slug="b"))
    return article


def test_each_older_object_gets_one_entry_with_its_state(article: Article) -> None:
    newer = Article.objects.create(title="Newer")
    assert said("backfill", ARTICLE) == f"{ARTICLE}: 1 entry added.\n"
    assert "audit_examples.Tag: 2 entries added." in said("backfill", "--all")
    assert (actions(article), actions(newer)) == (["state"], ["create"])
    entry = Entry.objects.of(article).get()
    assert (entry.object_repr, entry.source) == ("First", "command")
    assert entry.changes["title"] == {"old": None, "new": "First"}
    assert entry.changes["access_token"] == {"masked": True}
    assert sorted(entry.changes["tags"]["added"]) == ["a", "b"]
