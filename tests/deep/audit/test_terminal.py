"""The trail on a terminal: what cannot be shown, and why there is nothing to show."""

import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from apps.audit import seals, triggers
from apps.audit.models import Entry
from apps.core.actor import acting_as

from ..examples.models import Article, Tag
from ..test_seals import said

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
    return said("history", *arguments)


def test_the_history_of_what_is_gone_can_be_shown() -> None:
    changes = {"lost": {"old": 1, "new": [2]}}
    values = {"object_id": "1", "action": "update"}
    Entry(model_label="gone.Model", changes=changes, **values).save()
    assert "  lost\n    - 1\n    + [2]\n" in history("gone.Model", "1")


# Goes up a line, sets the title of the window, begins a sequence in one byte, turns text round.
HARMFUL = "x\x1b[1A\x1b]0;owned\x07\x9b2J\u202ey"
HARMLESS = r"x\u001b[1A\u001b]0;owned\u0007\u009b2J\u202ey"


def test_nothing_on_the_trail_commands_the_terminal() -> None:
    values: dict[str, Any] = {"object_id": "1", "action": "update"}
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
    assert re.search(r"\+ a +b\n      c\n", text)
    assert not [c for c in text if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("limit", ["-5", "0", "x", "99999999999999999999"])
def test_what_is_no_number_of_entries_is_refused(limit: str) -> None:
    with pytest.raises(CommandError, match="is no number from 1 to 99,999; for example"):
        history("audit_examples.Author", "1", "--limit", limit)


@pytest.mark.parametrize(
    ("label", "key"),
    [("nonsense", "1"), ("auth.Group", "1"), ("audit_examples.Note", "x"), ("a.B", "\x00")],
)
def test_an_object_that_the_trail_does_not_have_is_named(label: str, key: str) -> None:
    with pytest.raises(CommandError, match=f"has no entry of {label} {key}. It has those of the"):
        history(label, key)


def test_the_latest_entries_are_shown_and_the_way_to_the_others(article: Article) -> None:
    text = history("audit_examples.Article", str(article.pk), "--limit=1")
    assert text.count("\n#") == 0
    assert "There are more entries: --limit 5" in text


def test_the_trail_can_be_stopped_before_the_module_is_taken_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("audit", "stop")
    assert "Nothing is recorded in 'default' any more." in capsys.readouterr().out
    Article.objects.create(title="Unseen")
    assert not Entry.objects.exists()
    assert triggers.faults(connection)
    triggers.install(connection)
    assert triggers.faults(connection) == []


def test_lines_and_links_are_indented(article: Article) -> None:
    text = history("audit_examples.Article", str(article.pk))
    assert "  Body\n    - (empty)\n    + A line\n      \n      A long sentence" in text
    assert "  Tags\n    + #django (django)\n" in text


def test_a_history_can_be_read_in_lines(article: Article) -> None:
    text = history("audit_examples.Article", str(article.pk))
    heads = [line for line in text.splitlines() if line.startswith("#")]
    entries = list(Entry.objects.of(article).values_list("pk", flat=True))
    assert [int(head.split()[0][1:]) for head in heads] == entries
    assert heads[0].endswith("Changed by the system, command")
    assert heads[2].endswith("Created by admin, request")
    assert "  Headline\n    - First\n    + Second\n" in text
    assert "  Access token: secret, not recorded\n" in text


def test_an_error_of_the_database_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OperationalError("connection failed:\n  is the server running?")

    monkeypatch.setattr(seals, "seal", fail)
    with pytest.raises(CommandError, match=r"^connection failed: is the server running[?]$"):
        said("seal")
