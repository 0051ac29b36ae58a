"""The trail adds no statement to a write, however many rows it has."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit import registry, triggers
from apps.audit.models import Entry

from ..examples.models import Article, Author, Tag
from .models import Hotel, Review

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]

MANY = 250


def made(prepare: Callable[[], Any], write: Callable[[Any], Any]) -> tuple[int, int]:
    """Count the statements of a write, but those that begin and end transactions, and the entries."""
    prepared = prepare()
    before = Entry.objects.count()
    with CaptureQueriesContext(connection) as captured:
        write(prepared)
    statements = [query["sql"] for query in captured.captured_queries]
    counted = [sql for sql in statements if not sql.startswith(("SAVEPOINT", "RELEASE"))]
    return len(counted), Entry.objects.count() - before


def article() -> Article:
    article: Article = Article.objects.create(title="Old", price=1, details={"a": 1})
    return article


def articles() -> list[Article]:
    found: list[Article] = Article.objects.bulk_create(Article(title="Old") for _ in range(MANY))
    return found


def of(rows: Iterable[Any]) -> Any:
    return Article.objects.filter(pk__in=[row.pk for row in rows])


def linked() -> tuple[Article, Tag]:
    pair = article(), Tag.objects.get_or_create(slug="a")[0]
    pair[0].tags.add(pair[1])
    return pair


def unlinked() -> tuple[Article, Tag]:
    return article(), Tag.objects.get_or_create(slug="a")[0]


def change(row: Article) -> None:
    row.title = "New"
    row.price = 2
    row.save()


def count(row: Article) -> None:
    row.reads = F("reads") + 1
    row.save()


def bulk_update(rows: list[Article]) -> None:
    for row in rows:
        row.title = "New"
    Article.objects.bulk_update(rows, ["title"])


@pytest.mark.parametrize(
    ("prepare", "write", "entries"),
    [
        pytest.param(lambda: None, lambda _: Author.objects.create(name="Ada"), 1, id="create"),
        pytest.param(lambda: None, lambda _: Hotel.objects.create(name="Ada"), 2, id="child"),
        pytest.param(article, change, 1, id="update"),
        pytest.param(article, lambda row: row.save(), 0, id="save unchanged"),
        pytest.param(article, count, 1, id="update with an expression"),
        pytest.param(Review.objects.create, lambda row: row.delete(), 1, id="delete"),
        pytest.param(unlinked, lambda two: two[0].tags.add(two[1]), 1, id="m2m add"),
        pytest.param(unlinked, lambda two: two[1].articles.add(two[0]), 1, id="m2m reverse"),
        pytest.param(linked, lambda two: two[0].tags.remove(two[1]), 1, id="m2m remove"),
        pytest.param(linked, lambda two: two[0].tags.clear(), 1, id="m2m clear"),
        pytest.param(lambda: None, lambda _: articles(), MANY, id="bulk_create"),
        pytest.param(articles, bulk_update, MANY, id="bulk_update"),
        pytest.param(
            articles,
            lambda rows: of(rows).update(title="New"),
            MANY,
            id="QuerySet.update",
        ),
        pytest.param(
            lambda: Review.objects.bulk_create(Review(stars=9) for _ in range(MANY)),
            lambda _: Review.objects.filter(stars=9).delete(),
            MANY,
            id="QuerySet.delete",
        ),
        pytest.param(
            lambda: Tag.objects.bulk_create(Tag(slug=f"old {number}") for number in range(MANY)),
            lambda rows: Tag.objects.filter(pk__in=[row.pk for row in rows]).delete(),
            MANY,
            id="QuerySet.delete of what has links",
        ),
    ],
)
def test_a_write_takes_no_statement_more(
    prepare: Callable[[], Any], write: Callable[[Any], Any], entries: int
) -> None:
    recorded, added = made(prepare, write)
    registry._registered.clear()
    registry.forget_what_was_derived()
    connection.check_constraints()
    triggers.install(connection)
    unrecorded, none = made(prepare, write)
    assert (recorded - unrecorded, added, none) == (0, entries, 0)


def test_what_is_not_recorded_costs_nothing(django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("ada")
    user.last_login = timezone.now()
    assert made(lambda: None, lambda _: user.save(update_fields=["last_login"])) == (1, 0)
