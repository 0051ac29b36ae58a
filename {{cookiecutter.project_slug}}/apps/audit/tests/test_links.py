"""Many-to-many changes, asked for from either side, recorded as they turned out."""

from typing import Any

import pytest

from .examples.models import Article, Tag
from .trail import actions, changes

pytestmark = pytest.mark.django_db


@pytest.fixture
def tags() -> list[Tag]:
    return [Tag.objects.create(slug=slug) for slug in "abcde"]


@pytest.fixture
def article() -> Article:
    article: Article = Article.objects.create(title="One")
    return article


def added(*keys: Any) -> dict[str, Any]:
    return {"added": list(keys), "removed": []}


def removed(*keys: Any) -> dict[str, Any]:
    return {"added": [], "removed": list(keys)}


def test_an_addition_records_what_was_not_there(article: Article, tags: list[Tag]) -> None:
    article.tags.add(tags[0])
    article.tags.add(*tags[:3])
    article.tags.add(*tags[:3])
    assert changes(article)[1:] == [{"tags": added("a")}, {"tags": added("b", "c")}]


def test_a_removal_records_what_was_there(article: Article, tags: list[Tag]) -> None:
    article.tags.add(*tags[:2])
    article.tags.remove(*tags[1:])
    article.tags.remove(*tags[1:])
    assert changes(article)[2:] == [{"tags": removed("b")}]


def test_a_clear_of_two_of_five_says_two(article: Article, tags: list[Tag]) -> None:
    article.tags.add(*tags[1:3])
    article.tags.clear()
    article.tags.clear()
    assert changes(article)[2:] == [{"tags": removed("b", "c")}]


def test_the_other_side_is_recorded_on_each_owner(article: Article, tags: list[Tag]) -> None:
    other = Article.objects.create(title="Two")
    tags[0].articles.add(article, other)
    tags[0].articles.remove(article)
    tags[0].articles.clear()
    assert changes(article)[1:] == [{"tags": added("a")}, {"tags": removed("a")}]
    assert changes(other)[1:] == [{"tags": added("a")}, {"tags": removed("a")}]
    assert actions(tags[0]) == ["create"]
