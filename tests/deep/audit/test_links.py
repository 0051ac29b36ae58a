"""Many-to-many changes, asked for from either side, recorded as they turned out."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, models, transaction
from django.db.models import F
from django.db.models.signals import m2m_changed, post_save
from django.test.utils import isolate_apps

from apps.audit.models import Entry

from ..conftest import register
from ..examples.models import Article, Author, Example, Tag
from ..trail import actions, changes, last_change, links
from .models import Club, FrontPage, Membership, early

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
    assert links(article, "tags")[0] == ("+", "a")
    assert sorted(links(article, "tags")) == [("+", "a"), ("+", "b"), ("+", "c")]


def test_a_removal_records_what_was_there(article: Article, tags: list[Tag]) -> None:
    article.tags.add(*tags[:2])
    article.tags.remove(*tags[1:])
    article.tags.remove(*tags[1:])
    assert sorted(links(article, "tags")) == [("+", "a"), ("+", "b"), ("-", "b")]
    assert last_change(article) == {"tags": removed("b")}


def test_a_clear_of_two_of_five_says_two(article: Article, tags: list[Tag]) -> None:
    article.tags.add(*tags[1:3])
    article.tags.clear()
    article.tags.clear()
    assert sorted(links(article, "tags")[2:]) == [("-", "b"), ("-", "c")]
    assert links(article, "tags")[:2] == [("+", key) for _, key in links(article, "tags")[:2]]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no transition tables")
def test_links_that_one_statement_makes_are_recorded_together(
    article: Article, tags: list[Tag]
) -> None:
    other = Article.objects.create(title="Two")
    tags[0].articles.add(article, other)
    article.tags.add(*tags[1:])
    article.tags.clear()
    assert changes(other)[1:] == [{"tags": added("a")}]
    assert changes(article)[1:] == [
        {"tags": added("a")},
        {"tags": added("b", "c", "d", "e")},
        {"tags": removed("a", "b", "c", "d", "e")},
    ]


def test_the_other_side_is_recorded_on_each_owner(article: Article, tags: list[Tag]) -> None:
    other = Article.objects.create(title="Two")
    tags[0].articles.add(article, other)
    tags[0].articles.remove(article)
    tags[0].articles.clear()
    assert changes(article)[1:] == [{"tags": added("a")}, {"tags": removed("a")}]
    assert changes(other)[1:] == [{"tags": added("a")}, {"tags": removed("a")}]
    assert actions(tags[0]) == ["create"]


def test_a_set_records_the_difference(article: Article, tags: list[Tag]) -> None:
    article.tags.set(tags[:2])
    article.tags.set(tags[1:3])
    assert links(article, "tags")[2:] == [("-", "a"), ("+", "c")]


def test_a_link_that_is_moved_is_recorded_on_who_loses_and_who_gets_it() -> None:
    one, other = Club.objects.create(name="One"), Club.objects.create(name="Other")
    ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
    membership = Membership.objects.create(club=one, author=ada)
    membership.club = other
    membership.save()
    Membership.objects.update(author=bob)
    membership.role = "chair"
    membership.save(update_fields=["role"])
    assert changes(one)[1:] == [{"members": added(ada.pk)}, {"members": removed(ada.pk)}]
    assert changes(other)[1:] == [
        {"members": added(ada.pk)},
        {"members": removed(ada.pk)},
        {"members": added(bob.pk)},
    ]


def test_a_link_can_be_moved_by_an_expression(article: Article, tags: list[Tag]) -> None:
    other = Article.objects.create(title="Two")
    article.tags.add(tags[0])
    Article.tags.through.objects.update(article_id=F("article_id") + (other.pk - article.pk))
    assert changes(article)[2:] == [{"tags": removed("a")}]
    assert changes(other)[1:] == [{"tags": added("a")}]


def test_a_row_that_lacks_an_end_is_no_link() -> None:
    club, ada = Club.objects.create(name="One"), Author.objects.create(name="Ada")
    membership = Membership.objects.create(club=club)
    membership.author = ada
    membership.save()
    membership.author = None
    membership.save()
    Membership.objects.filter(role="").delete()
    assert not Membership.objects.exists()
    assert changes(club)[1:] == [{"members": added(ada.pk)}, {"members": removed(ada.pk)}]


def test_a_symmetrical_link_is_recorded_on_both_ends(article: Article) -> None:
    other = Article.objects.create(title="Two")
    article.related.add(other)
    other.related.remove(article)
    assert changes(article)[1:] == [{"related": added(other.pk)}, {"related": removed(other.pk)}]
    assert changes(other)[1:] == [{"related": added(article.pk)}, {"related": removed(article.pk)}]


def test_what_a_manager_hides_from_a_clear_is_not_recorded(
    article: Article, tags: list[Tag]
) -> None:
    article.tags.add(tags[0], Tag.objects.create(slug="hidden"))
    article.tags.clear()
    assert last_change(article) == {"tags": removed("a")}
    assert Article.tags.through.objects.values_list("tag", flat=True).get() == "hidden"


def test_a_proxy_is_recorded_as_its_model(article: Article, tags: list[Tag]) -> None:
    FrontPage.objects.get(pk=article.pk).tags.add(tags[0])
    assert last_change(article) == {"tags": added("a")}


def test_links_made_within_a_creation_come_after_it(tags: list[Tag]) -> None:
    def tag(instance: Article, **kwargs: Any) -> None:
        instance.tags.add(tags[0])

    early[post_save].append(tag)
    try:
        article = Article.objects.create(title="One")
    finally:
        early[post_save].clear()
    assert actions(article) == ["create", "update"]
    assert last_change(article) == {"tags": added("a")}


def test_groups_of_users_are_recorded(django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("ada")
    group = Group.objects.create(name="Staff")
    group.user_set.add(user)
    assert last_change(user) == {"groups": added(group.pk)}


def test_links_go_to_the_database_of_the_change(other_database: str) -> None:
    article = Article.objects.using(other_database).create(title="One")
    tag = Tag.objects.using(other_database).create(slug="a")
    tag.articles.add(article)
    assert Entry.objects.using(other_database).of(article)[0].changes == {"tags": added("a")}
    assert not Entry.objects.exists()


def test_a_failed_addition_leaves_nothing_behind(article: Article, tags: list[Tag]) -> None:
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError

    m2m_changed.connect(fail, sender=Article.tags.through)
    try:
        with pytest.raises(RuntimeError), transaction.atomic():
            article.tags.add(tags[0])
    finally:
        m2m_changed.disconnect(fail, sender=Article.tags.through)
    article.tags.add(tags[1])
    assert changes(article)[1:] == [{"tags": added("b")}]


@isolate_apps("apps.audit.tests.examples")
@pytest.mark.usefixtures("restored")
def test_links_through_a_proxy_are_recorded() -> None:
    class Person(Example):
        name = models.CharField(max_length=50)

        class Meta(Example.Meta):
            db_table = Author._meta.db_table

    class Society(Example):
        name = models.CharField(max_length=50)
        members = models.ManyToManyField(Person, through="Joined", related_name="+")

        class Meta(Example.Meta):
            db_table = Club._meta.db_table

    class Joining(Example):
        society = models.ForeignKey(Society, models.CASCADE, db_column="club_id")
        author = models.ForeignKey(Person, models.CASCADE)
        role = models.CharField(max_length=50)

        class Meta(Example.Meta):
            db_table = Membership._meta.db_table

    class Joined(Joining):
        class Meta(Example.Meta):
            proxy = True

    register(Society)
    society, person = Society.objects.create(name="One"), Person.objects.create(name="Ada")
    society.members.add(person)
    assert last_change(society) == {"members": added(person.pk)}
    Joining.objects.all().delete()
    assert last_change(society) == {"members": removed(person.pk)}
