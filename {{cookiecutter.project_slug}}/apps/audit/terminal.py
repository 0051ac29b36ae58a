"""The history of an object as text, for a terminal of any width."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .differences import Change
from .models import Entry
from .presentation import Page, actor_name, local

LABEL: Final = 18
FEWEST: Final = 20
# Lines of one value; the admin shows more of it.
MOST_LINES: Final = 6


def history(entries: Sequence[Entry], *, width: int, style: Any) -> Iterator[str]:
    """Describe entries, a blank line between two of them.

    Args:
        entries: what to describe, in this order.
        width: characters in a line.
        style: Django's ``color_style()``, or ``no_style()`` for plain text.
    """
    page = Page(entries)
    for number, entry in enumerate(entries):
        if number:
            yield ""
        yield _head(entry, width, style)
        for change in page.changes(entry):
            yield from _change(change, width, style)


def _head(entry: Entry, width: int, style: Any) -> str:
    paint = {"create": style.SUCCESS, "delete": style.ERROR}.get(entry.action, style.WARNING)
    moment = f"{local(entry.created_at):%Y-%m-%d %H:%M:%S %Z}".strip()
    what, key = f"{entry.get_action_display():<8}", f"#{entry.pk}"
    room = width - len(moment) - len(what) - len(key) - 5
    who = f"by {actor_name(entry)}, {entry.get_source_display().lower()}"
    who = textwrap.shorten(who, max(room, FEWEST), placeholder="…")
    return f"{moment}  {paint(what)} {who:<{max(room, 0)}}  {key}"


def _change(change: Change, width: int, style: Any) -> Iterator[str]:
    sides: list[tuple[str, str, int]] = []
    if change.masked:
        sides.append((" ", "(secret, not recorded)", 0))
    if change.removed:
        sides.append(("-", ", ".join(change.removed), 0))
    if change.added:
        sides.append(("+", ", ".join(change.added), 0))
    if change.old is not None:
        sides.append(("-", change.old or "(empty)", change.old_more))
    if change.new is not None:
        sides.append(("+", change.new or "(empty)", change.new_more))
    label = textwrap.shorten(change.label, LABEL, placeholder="…")
    for sign, text, more in sides:
        paint = {"-": style.ERROR, "+": style.SUCCESS}.get(sign, str)
        for line in _wrapped(text, more, max(width - LABEL - 6, FEWEST)):
            yield f"  {label:<{LABEL}}  {paint(f'{sign} {line}')}".rstrip()
            label, sign = "", " "


def _wrapped(text: str, more: int, width: int) -> list[str]:
    """Break a text into lines, and say how many of its characters are not among them."""
    lines = [
        piece for line in text.splitlines() or [""] for piece in textwrap.wrap(line, width) or [""]
    ]
    if len(lines) > MOST_LINES:
        more += sum(map(len, lines[MOST_LINES - 1 :]))
        lines = lines[: MOST_LINES - 1]
    return [*lines, f"… {more} characters more"] if more else lines
