"""The trail as lines of JSON."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.test import override_settings

from apps.audit.models import Entry

from ..examples.models import Article
from ..test_export import ada, exported
from ..test_seals import said

# Half of a character, which PostgreSQL refuses.
SURROGATE = "\ud800" if connection.vendor == "sqlite" else ""

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--model=audit_examples.author"], 1),
        (["--model=gone.Model"], 0),
        (["--actor=ada"], 1),
        (["--actor=ada", "--model=a.B"], 0),
        (["--model=audit_examples.Tag", "--since=2020-01-31"], 1),
        (["--model=audit_examples.Tag", "--since=2999-01-31"], 0),
        (["--model=audit_examples.Tag", "--before=2020-01-31T12:00"], 0),
    ],
)
def test_filters(ada: Any, arguments: list[str], count: int) -> None:
    Entry(action="rename", model_label="a.B", changes={"": {"renamed": "a.A"}}).save()
    assert len(exported(*arguments)) == count


@pytest.mark.parametrize("time", ["yesterday", "2026-02-31", "31.1.2026", "0001-01-01T00:00+14:00"])
def test_what_is_no_time_is_refused(time: str) -> None:
    with pytest.raises(CommandError, match="is no date or time; for example"):
        exported(f"--since={time}")


def test_dates_are_those_of_the_time_zone_of_the_project() -> None:
    from apps.audit.management.commands.audit import moment

    with override_settings(TIME_ZONE="Asia/Tokyo"):
        assert moment("2026-01-31").isoformat() == "2026-01-30T15:00:00+00:00"
        assert moment("2026-01-31T00:00Z").isoformat() == "2026-01-31T00:00:00+00:00"


def test_a_long_trail_is_read_in_pieces(
    django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.audit.management.commands.audit.BATCH", 2)
    for number in range(5):
        Article.objects.create(title=str(number))
    with django_assert_num_queries(4):
        found = exported("--model=audit_examples.Article")
    assert [line["fields"]["object_repr"] for line in found] == ["0", "1", "2", "3", "4"]


def test_what_cannot_be_written_as_text_is_escaped() -> None:
    changes = {"data": {"old": None, "new": "\ufeff\x1b\x9b\u202e" + SURROGATE}}
    Entry(changes=changes).save()
    text = said("export")
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text.splitlines()[-1])["fields"]["changes"] == changes


def test_a_line_has_all_of_an_entry(ada: Any) -> None:
    entry = Entry.objects.get(model_label="audit_examples.Author")
    [line] = exported("--model=audit_examples.author", "--actor=ada", "--since=2020-01-31")
    assert line == {
        "pk": entry.pk,
        "model": "audit.entry",
        "fields": {
            "created_at": DjangoJSONEncoder().default(entry.created_at),
            "action": "create",
            "model_label": "audit_examples.Author",
            "object_id": entry.object_id,
            "object_repr": "Zoë\nLine two",
            "actor": ada.pk,
            "actor_name": "ada",
            "source": "job",
            "request_id": "request-1",
            "changes": {"name": {"old": None, "new": "Zoë\nLine two"}},
        },
    }
