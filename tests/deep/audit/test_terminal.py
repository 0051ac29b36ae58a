"""The trail on a terminal: readable in 80 columns, in colour only there, with a bar for the wait."""

import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.audit import progress, seals
from apps.audit.models import Entry
from apps.core.actor import acting_as

from ..examples.models import Article, Author, Tag
from ..test_terminal import history

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_a_terminal_gets_colours_unless_they_are_not_wanted(article: Article) -> None:
    arguments = ("audit_examples.article", str(article.pk))
    assert "\x1b[" in history(*arguments, out=Terminal())
    assert "\x1b[" not in history(*arguments, "--no-color", out=Terminal())
    assert "\x1b[" in history(*arguments, "--force-color")


def test_the_history_of_what_is_gone_can_be_shown() -> None:
    changes = {"lost": {"old": 1, "new": [2]}}
    values = {"content_type_id": 0, "object_id": "1", "action": "update"}
    Entry(model_label="gone.Model", changes=changes, **values).save()
    assert "  lost                - 1\n                      + [2]\n" in history("gone.Model", "1")


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    out, err = io.StringIO(), Terminal()
    Author.objects.create(name="Ada")
    monkeypatch.setattr(seals, "BATCH", 1)
    call_command("audit", "seal", stdout=out, stderr=err)
    assert "Sealing [############" in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")
    assert "Sealing [" not in out.getvalue()
    err = io.StringIO()  # type: ignore[assignment]
    call_command("audit", "verify", stdout=out, stderr=err)
    assert err.getvalue() == ""


def test_a_bar_tells_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])

    class Stream(Terminal):
        def write(self, text: str, ending: str = "") -> int:
            return super().write(text)

    stream = Stream()
    with progress.bar(stream, "Verifying", 2000) as shown:
        now[0] = 30
        shown(500)
        # Too soon after the last drawing.
        shown(501)
        now[0] = 31
        shown(5000)
    assert stream.getvalue() == (
        "\rVerifying [######..................]  25%, 500 of 2,000, 1:30 left\x1b[K"
        "\rVerifying [########################] 100%, 2,000 of 2,000, 0:00 left\x1b[K"
        "\r\x1b[K"
    )
    with progress.bar(stream, "Verifying", 0) as shown:
        now[0] = 60
        shown(1)
    assert stream.getvalue().count("Verifying") == 2


# Goes up a line, sets the title of the window, begins a sequence in one byte, turns text round.
HARMFUL = "x\x1b[1A\x1b]0;owned\x07\x9b2J\u202ey"


HARMLESS = r"x\u001b[1A\u001b]0;owned\u0007\u009b2J\u202ey"


def test_nothing_on_the_trail_commands_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    values: dict[str, Any] = {"content_type_id": 0, "object_id": "1", "action": "update"}
    changes = {f"field{HARMFUL[:2]}": {"old": HARMFUL, "new": "a\tb\r\nc"}}
    Entry(model_label="gone.Model", actor_name=HARMFUL, changes=changes, **values).save()
    article = Article.objects.create(title="One")
    tag = Tag.objects.create(slug=HARMFUL)
    article.tags.add(tag)
    text = history("gone.Model", "1") + history("audit_examples.Article", str(article.pk))
    assert f"by {HARMLESS}, command" in text
    assert f"- {HARMLESS}" in text
    assert f"+ #{HARMLESS} ({HARMLESS})" in text
    assert "fieldx\\u001b" in text
    # Lines and tabs are what they were.
    assert re.search(r"\+ a +b\n +c\n", text)
    assert not [c for c in text if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("limit", ["-5", "0", "x", "99999999999999999999"])
def test_what_is_no_number_of_entries_is_refused(limit: str) -> None:
    with pytest.raises(CommandError, match="is no number of entries; for example 20"):
        history("audit_examples.Author", "1", "--limit", limit)
