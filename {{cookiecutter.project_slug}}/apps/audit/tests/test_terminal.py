"""The trail on a terminal: readable in 80 columns, in colour only there, with a bar for the wait."""

import io
from typing import Any

import pytest
from django.core.management import call_command

from apps.audit.models import Entry
from apps.core.actor import acting_as

from .examples.models import Article, Tag

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def article(admin_user: Any) -> Article:
    with acting_as(admin_user, source="request"):
        article: Article = Article.objects.create(title="First", access_token="one")
        article.tags.add(Tag.objects.create(slug="django"))
    article.title = "Second"
    article.body = "A line\n\n" + "A long sentence of many words. " * 20
    article.access_token = "two"
    article.save()
    return article


def history(*arguments: str, out: Any = None) -> str:
    out = out or io.StringIO()
    call_command("audit", "history", *arguments, stdout=out)
    text: str = out.getvalue()
    return text


def test_a_history_fits_into_80_columns(article: Article) -> None:
    text = history("audit_examples.Article", str(article.pk))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    entries = list(Entry.objects.of(article).values_list("pk", flat=True))
    heads = [line for line in text.splitlines() if "#" in line and line.startswith("20")]
    assert [int(head.rpartition("#")[2]) for head in heads] == entries
    assert "Changed  by the system, command" in heads[0]
    assert "Created  by admin, request" in heads[2]
    for line in (
        "  Headline            - First\n                      + Second\n",
        "  Access token          (secret, not recorded)\n",
        "  Body                - (empty)\n                      + A line\n",
        "  Tags                + #django (django)\n",
    ):
        assert line in text
    # A long value is cut, and says so.
    assert "characters more" in text
