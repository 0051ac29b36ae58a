"""The history of an object as text, for a terminal of any width."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from . import presentation
from .models import Entry
from .presentation import Change

LABEL: Final = 18
FEWEST: Final = 20
# Lines of one value; the admin shows all of it.
MOST_LINES: Final = 6


def history(entries: Sequence[Entry], *, width: int, style: Any) -> Iterator[str]:
    """Describe entries, a blank line between two of them.

    Args:
        entries: what to describe, in this order.
        width: characters in a line.
        style: Django's ``color_style()``, or ``no_style()`` for plain text.
    """
    all_changes = presentation.changes_of_each(entries)
    for number, (entry, changes) in enumerate(zip(entries, all_changes, strict=True)):
        if number:
            yield ""
        yield _head(entry, width, style)
        for change in changes:
            yield from _change(change, width, style)


def _head(entry: Entry, width: int, style: Any) -> str:
    paint = {"create": style.SUCCESS, "update": style.WARNING, "delete": style.ERROR}
    moment = f"{presentation.local(entry.created_at):%Y-%m-%d %H:%M:%S %Z}".strip()
    key = f"#{entry.pk}"
    actor, source = presentation.actor_name(entry), entry.get_source_display().lower()
    who = presentation.harmless(f"by {actor}, {source}")
    what = f"{presentation.harmless(entry.get_action_display()):<8}"
    room = width - len(moment) - len(what) - len(key) - 5
    who = textwrap.shorten(who, max(room, FEWEST), placeholder="…")
    painted = paint.get(entry.action, style.WARNING)(what)
    return f"{moment}  {painted} {who:<{max(room, 0)}}  {key}"


def _change(change: Change, width: int, style: Any) -> Iterator[str]:
    lines: list[tuple[str, str]] = []
    if change.masked:
        lines.append((" ", "(secret, not recorded)"))
    for sign, found in (("-", change.removed), ("+", change.added)):
        if found:
            lines.append((sign, ", ".join(found)))
    if not lines:
        if change.old is not None:
            lines.append(("-", _joined(change.old_parts) or "(empty)"))
        if change.new is not None:
            lines.append(("+", _joined(change.new_parts) or "(empty)"))
    label = textwrap.shorten(change.label, LABEL, placeholder="…")
    for sign, text in lines:
        paint = {"-": style.ERROR, "+": style.SUCCESS}.get(sign, str)
        for number, line in enumerate(_wrapped(text, max(width - LABEL - 6, FEWEST))):
            mark = sign if number == 0 else " "
            yield f"  {label:<{LABEL}}  {paint(f'{mark} {line}')}".rstrip()
            label = ""


def _joined(parts: list[tuple[str, bool]]) -> str:
    return "".join(text for text, _ in parts)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [
        piece for line in text.splitlines() or [""] for piece in textwrap.wrap(line, width) or [""]
    ]
    if len(lines) <= MOST_LINES:
        return lines
    return [*lines[: MOST_LINES - 1], f"… {len(lines) - MOST_LINES + 1} more lines"]
