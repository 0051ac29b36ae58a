"""The list of what runs when: complete, in order, and kept in a document."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import Signal
from django.tasks import task

from apps.core.dispatch import receiver
from apps.core.jobs import hand_off
from apps.signal_map import document
from apps.signal_map.entries import Entry, read_entries

pytestmark = pytest.mark.usefixtures("connections_as_before")

finished = Signal()


@task
def archive(number: int) -> None:
    """Do something later."""


def plain(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


def hands_off(sender: Any, **kwargs: Any) -> None:
    """Hand a job off, through a helper."""
    helper()


def helper() -> None:
    hand_off(archive, 1)


def sends(sender: Any, **kwargs: Any) -> None:
    """Send a signal of the project."""
    finished.send(sender)


async def waits(sender: Any, **kwargs: Any) -> None:
    """Wait."""


def mine() -> list[Entry]:
    """List what a test of this file has connected."""
    return [entry for entry in read_entries() if entry.place.path.startswith(f"{__name__}.")]


def output(*words: str) -> str:
    """Return what the command prints."""
    stream = io.StringIO()
    call_command("signals", *words, stdout=stream)
    return stream.getvalue()


def test_receivers_are_listed_in_the_order_in_which_they_run() -> None:
    receiver(finished)(waits)
    receiver(finished)(plain)
    receiver(post_save, sender=Group, after_commit=True)(hands_off)
    post_save.connect(plain, sender=Group)
    receiver(pre_save, sender=Group)(sends)
    found = [
        (each.sender, each.signal.name, each.phase, each.place.name, each.origin) for each in mine()
    ]
    assert found == [
        ("auth.Group", "pre_save", "in transaction", "sends", "kit"),
        ("auth.Group", "post_save", "after commit", "hands_off", "kit"),
        ("auth.Group", "post_save", "in transaction", "plain", "connect()"),
        ("any sender", "finished", "when sent", "plain", "kit"),
        ("any sender", "finished", "async", "waits", "kit"),
    ]
    steps = [[f"{step.kind} {step.name}" for step in each.steps] for each in mine()]
    assert steps == [["signal finished"], ["job archive"], [], [], []]
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert all(source[each.place.line - 1].startswith(("def ", "async def ")) for each in mine())


def test_a_page_is_up_to_date_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "path_of_document", lambda: tmp_path / "docs" / "signals.md")
    post_save.connect(plain, sender=Group)
    with pytest.raises(CommandError, match="signals --write"):
        output("--check")
    output("--write")
    assert "up to date" in output("--check")
    receiver(post_delete, sender=Group)(sends)
    with pytest.raises(CommandError, match=r"not in it: \S+test_map.py:\d+ sends, on post_delete"):
        output("--check")


def test_the_page_of_the_project_is_up_to_date() -> None:
    """Other tests connect receivers and import more than a server does; those are passed over."""
    models = apps.get_models(include_auto_created=True)
    of_tests = {model._meta.label for model in models if ".tests." in model.__module__}
    text = document.path_of_document().read_text(encoding="utf-8")
    written = [line for line in text.splitlines() if line.startswith("| `")]
    rows = {
        document.row(entry): entry.origin == "kit" and ".tests." not in entry.place.path
        for entry in read_entries()
        if entry.sender not in of_tests
    }
    assert [row for row in written if row not in rows] == []
    assert [row for row, is_expected in rows.items() if is_expected and row not in written] == []
    assert ".py:" not in text
