"""How many statements the trail adds, as its documentation says: one, for however many rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from apps.audit import registry

from .examples.models import Article, Author, Hotel, Note, Review, Tag

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]

MANY = 300


@contextmanager
def statements() -> Iterator[list[str]]:
    """List the statements of a block, without those that begin and end transactions."""
    made: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield made
    made += [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))
    ]


def extra(write: Callable[[], Any], prepare: Callable[[], Any] = lambda: None) -> list[str]:
    """Write with the trail and without; return the statements that only the trail has made."""
    prepare()
    with statements() as recorded:
        write()
    audited = registry._audited.copy()
    registry._audited.clear()
    registry.forget_what_was_derived()
    try:
        prepare()
        with statements() as unrecorded:
            write()
    finally:
        registry._audited.update(audited)
        registry.forget_what_was_derived()
    own = [sql for sql in recorded if "audit_entry" in sql or "FOR " in sql or " AS remembered" in sql]
    others = len(recorded) - len(unrecorded)
    assert others >= len(own)
    return [sql.partition(" ")[0] for sql in recorded[: others]] if others > len(own) else [
        sql.partition(" ")[0] for sql in own
    ]


@pytest.fixture
def rows() -> dict[str, Any]:
    return {}


ONE_INSERT = ["INSERT"]
LOCKED = ["SELECT", "INSERT"]


@pytest.fixture
def locked() -> list[str]:
    """Where others write at the same time, rows that a condition finds are locked first."""
    return LOCKED if connection.vendor == "postgresql" else ONE_INSERT


def test_this_is_the_django_that_the_interception_was_written_for() -> None:
    assert django.VERSION[:2] == (6, 1), (
        "Read apps/audit/interception.py against the new Django: it wraps private methods."
    )


def test_one_object_costs_one_statement() -> None:
    made: dict[str, Any] = {}

    def load() -> None:
        made["article"] = Article.objects.create(title="Old")
        made["tag"] = Tag.objects.get_or_create(slug="a")[0]
        made["hotel"] = Hotel.objects.create(name="Old", beds=1)
        made["review"] = Review.objects.create()

    def update() -> None:
        made["article"].title = "New"
        made["article"].price = 3
        made["article"].save()

    assert extra(lambda: Author.objects.create(name="Ada")) == ONE_INSERT
    assert extra(lambda: Tag(slug="new").save(force_insert=True), Tag.objects.all().delete) == (
        ONE_INSERT
    )
    assert extra(update, load) == ONE_INSERT
    assert extra(lambda: made["article"].save(), load) == ONE_INSERT
    assert extra(lambda: made["review"].delete(), load) == ONE_INSERT
    assert extra(lambda: made["article"].tags.add(made["tag"]), load) == ONE_INSERT
    assert extra(lambda: made["tag"].articles.add(made["article"]), load) == ONE_INSERT
