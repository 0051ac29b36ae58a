"""The tables, rebuilt from the trail alone after random writes, are the tables."""

import random
from collections import defaultdict
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F

from apps.audit import values
from apps.audit.models import Entry

from .examples.models import Article, Author, Tag

pytestmark = pytest.mark.django_db
WRITES = 150


def write(choose: random.Random) -> None:
    """Make a write of a kind that is chosen at random."""
    number = choose.randrange(1000)
    article = Article.objects.order_by("?").first() or Article.objects.create(title="first")
    tags = list(Tag.objects.all())
    kinds = [
        lambda: Article.objects.create(title=f"created {number}", reads=number),
        lambda: Article.objects.bulk_create([Article(title=f"bulk {each}") for each in range(3)]),
        lambda: Article.objects.filter(pk=article.pk).update(reads=F("reads") + number),
        lambda: Article.objects.filter(reads__lt=number).update(is_open=True, code=f"C{number}"),
        lambda: article.tags.set(choose.sample(tags, len(tags) // 2)),
        lambda: article.tags.clear(),
        lambda: choose.choice(tags).articles.add(article),
        lambda: article.delete(),
        lambda: Article.objects.filter(title__startswith="bulk").delete(),
        lambda: Author.objects.create(name="x").article_set.add(article, bulk=False),
        lambda: Author.objects.filter(article=article).delete(),
    ]
    choose.choice(kinds)()


def rebuilt(label: str) -> dict[str, dict[str, Any]]:
    """Apply the entries of a model one after another."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in Entry.objects.filter(model_label=label).order_by("pk"):
        if entry.action == Entry.Action.DELETE:
            del rows[entry.object_id]
            continue
        row = rows.setdefault(entry.object_id, defaultdict(set))
        for name, change in entry.changes.items():
            if "added" in change:
                row[name] = row[name] - set(change["removed"]) | set(change["added"])
            elif "new" in change:
                row[name] = change["new"]
    return rows


@pytest.mark.parametrize("seed", [1, 2])
def test_the_trail_gives_the_tables(seed: int) -> None:
    Tag.objects.bulk_create([Tag(slug=slug) for slug in "abcd"])
    choose = random.Random(seed)  # noqa: S311 (no secret)
    for _ in range(WRITES):
        with transaction.atomic():
            write(choose)
            transaction.set_rollback(choose.random() < 0.1)
    found = rebuilt("audit_examples.Article")
    assert {row.pk for row in Article.objects.all()} == set(map(int, found))
    for row in Article.objects.all():
        recorded = found[str(row.pk)]
        for name in ("title", "reads", "is_open", "code", "author"):
            field: Any = Article._meta.get_field(name)
            assert values.decode(field, recorded[name]) == field.value_from_object(row), name
        assert set(recorded["tags"]) == {tag.pk for tag in row.tags.all()}
