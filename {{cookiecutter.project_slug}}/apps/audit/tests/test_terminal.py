"""The trail on a terminal: lines that can be read."""

import io
from typing import Any

import pytest
from django.core.management import call_command

from apps.audit.models import Entry
from apps.core.actor import acting_as

from .examples.models import Article, Tag

pytestmark = pytest.mark.django_db


@pytest.fixture
def article(admin_user: Any) -> Article:
    with acting_as(admin_user, source="request"):
        article: Article = Article.objects.create(title="First", access_token="one")
        article.tags.add(Tag.objects.create(slug="django"))
    article.title = "Second"
    article.body = "A line\n\nA long sentence of many words."
    article.access_token = "two"
    article.save()
    return article


def history(*arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", "history", *arguments, stdout=out)
    return out.getvalue()


def test_a_history_can_be_read_in_lines(article: Article) -> None:
    text = history("audit_examples.Article", str(article.pk))
    heads = [line for line in text.splitlines() if line.startswith("#")]
    entries = list(Entry.objects.of(article).values_list("pk", flat=True))
    assert [int(head.split()[0][1:]) for head in heads] == entries
    assert heads[0].endswith("Changed by the system, command")
    assert heads[2].endswith("Created by admin, request")
    assert "  Headline\n    - First\n    + Second\n" in text
    assert "  Access token: secret, not recorded\n" in text
