"""The list of receivers for a terminal, for programs and for documents."""

import json
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from .document import BETWEEN, edges, row
from .entries import Entry, grouped

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
    sender = ""
    for group in grouped(entries):
        if group.sender != sender:
            sender = group.sender
            found += ["", head(sender)] if found else [head(sender)]
        found.append(f"  {head(group.signal.name)}")
        for entry in group.entries:
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
    return json.dumps([_as_object(entry) for entry in entries], indent=2, ensure_ascii=False)


def _as_object(entry: Entry) -> dict[str, Any]:
    return {
        "sender": entry.sender,
        "signal": entry.signal.name,
        "signal_module": entry.signal.module,
        "phase": entry.phase,
        "receiver": entry.place.path,
        "file": entry.place.file,
        "line": entry.place.line,
        "summary": entry.summary,
        "origin": entry.origin,
        "leads_to": [
            {
                "kind": step.kind,
                "path": step.path,
                "file": step.file,
                "line": step.line,
                "summary": step.summary,
            }
            for step in entry.steps
        ],
    }


def as_mermaid(entries: list[Entry]) -> str:
    """Write entries as a Mermaid flowchart."""
    found = ["flowchart LR", *(edge for entry in entries for edge in edges(entry))]
    return "\n".join(dict.fromkeys(found))


def as_markdown(entries: list[Entry]) -> str:
    """Write entries as a Markdown table and graph, as in ``docs/signals.md``."""
    head = [
        "| Sender | Signal | When | Receiver | What it does | Leads to |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(
        [
            *head,
            *map(row, entries),
            "",
            BETWEEN.strip().rpartition("\n")[0],
            as_mermaid(entries),
            "```",
        ]
    )
