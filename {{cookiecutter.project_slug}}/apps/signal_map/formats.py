"""The list of receivers for a terminal and for programs."""

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from .entries import Entry

type Paint = Callable[[str], str]

PHASE_WIDTH = len("in transaction")


def table(entries: list[Entry], width: int, *, head: Paint = str, dim: Paint = str) -> str:
    """Write entries for a terminal of so many columns.

    Args:
        entries: what to write, in this order.
        width: the columns of the terminal; names longer than that are not broken.
        head: colours the senders and signals.
        dim: colours the less important parts.
    """
    found: list[str] = []
    for sender, of_sender in groupby(entries, lambda entry: entry.sender):
        found += ["", head(sender)] if found else [head(sender)]
        for signal, of_signal in groupby(of_sender, lambda entry: entry.signal):
            found.append(f"  {head(signal.name)}")
            for entry in of_signal:
                found += _entry(entry, width, dim)
    return "\n".join(found)


def _entry(entry: Entry, width: int, dim: Paint) -> Iterator[str]:
    mark = "" if entry.origin == "kit" else f" ({entry.origin})"
    yield from _line(entry.phase, entry.place.name + mark, str(entry.place), width, dim)
    indent = " " * (4 + PHASE_WIDTH + 2)
    summary = entry.summary or "(no docstring)"
    yield from (dim(line) for line in textwrap.wrap(
        summary, max(width - 1, 40), initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    ))  # fmt: skip
    for step in entry.steps:
        place = f"{step.file}:{step.line}" if step.file else ""
        kind = "→ job" if step.kind == "job" else "→ signal"
        yield from _line(kind, step.name, place, width, dim)


def _line(phase: str, name: str, place: str, width: int, dim: Paint) -> Iterator[str]:
    start = f"    {phase:{PHASE_WIDTH}}  {name}"
    if place and len(start) + 2 + len(place) > width - 1:
        yield start
        yield f"{'':{4 + PHASE_WIDTH + 2}}{dim(place)}"
    else:
        yield f"{start}  {dim(place)}" if place else start


def as_json(entries: list[Entry]) -> str:
    """Write entries as a JSON list of objects."""
    found: list[dict[str, Any]] = [
        {
            "sender": entry.sender,
            "signal": entry.signal.name,
            "signal_module": entry.signal.module,
            "phase": entry.phase,
            "receiver": entry.place.path,
            "file": entry.place.file,
            "line": entry.place.line,
            "summary": entry.summary,
            "origin": entry.origin,
            "leads_to": [asdict(step) for step in entry.steps],
        }
        for entry in entries
    ]
    return json.dumps(found, indent=2, ensure_ascii=False)
