"""``docs/signals.md``: a table of receivers, and a graph that code hosts draw."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from .chains import Step
from .entries import Entry
from .places import is_own_module

BEFORE: Final = """\
# Signals

This page lists which receiver runs when. `manage.py signals --write` reads it from the running \
project. The tests and CI run `manage.py signals --check`, which fails when the page is out of \
date. `manage.py signals` prints the same with line numbers. It also lists the internal receivers \
of Django.

- **in transaction**: inside the caller's transaction, if there is one. A failure reaches the caller. Without a transaction, Django has already committed the row. The user model always opens one.
- **when sent**: immediately. The sender of the signal decides when.
- **async**: also immediately, but after the other receivers. All async receivers run at the same time.
- **after commit**: when the transaction is committed, never after a rollback.
- A **job** runs in the background, after the commit.

Receivers of one sender and signal run from top to bottom. Receivers of `any sender` run between \
them, in the order of their connection. A note after the name says more. `connect()` means that the \
project connected the receiver without the kit. The name of an app means that the app has this \
effect without a receiver.

## Receivers

| Sender | Signal | When | Receiver | What it does | Leads to |
|---|---|---|---|---|---|"""
BETWEEN: Final = """
## Graph

A solid line leads to a receiver that runs immediately. A dotted line waits for the commit. A thick \
line leads to a job.

```mermaid
flowchart LR"""
AFTER: Final = "```"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the document; ``about`` has the names of everything in it."""

    text: str
    about: tuple[str, ...] = ()


def path_of_document() -> Path:
    """Return the path of the document."""
    return Path(settings.BASE_DIR) / "docs" / "signals.md"


def documented(entries: Iterable[Entry]) -> list[Entry]:
    """Choose the entries of the document: all except internal ones of packages."""
    return [entry for entry in entries if not entry.is_inward]


def lines(entries: list[Entry]) -> list[Line]:
    """Write the document line by line; no line depends on any other."""
    found = [Line(text) for text in BEFORE.split("\n")]
    found += [Line(row(entry), about(entry)) for entry in entries]
    found += [Line(text) for text in BETWEEN.split("\n")]
    found += [Line(text, about(entry)) for entry in entries for text in edges(entry)]
    return [*found, *(Line(text) for text in AFTER.split("\n"))]


def document(entries: list[Entry]) -> str:
    """Write the whole document. Of equal lines about entries, it has the first."""
    found = {
        (line.text if line.about else number): line.text
        for number, line in enumerate(lines(entries))
    }
    return "\n".join(found.values()) + "\n"


def about(entry: Entry) -> tuple[str, ...]:
    """Return the names of everything in an entry."""
    steps = (step.path for step in entry.steps)
    return (entry.sender, entry.signal.path, entry.place.path, *steps)


def row(entry: Entry) -> str:
    """Write an entry as a row of the table."""
    place = entry.place
    receiver = _linked(place.name, place.file) if place.is_own else f"`{place.path}`"
    if place.is_own and entry.origin != "kit":
        receiver += f" (`{entry.origin}`)"
    cells = (
        f"`{entry.sender}`",
        f"`{entry.signal.name}`",
        entry.phase,
        receiver,
        _in_a_cell(entry.summary),
        ", ".join(_step(step) for step in entry.steps),
    )
    return f"| {' | '.join(cells)} |"


def edges(entry: Entry) -> Iterator[str]:
    """Write an entry as lines of a Mermaid flowchart."""
    receiver = _node("receiver", entry.place.path, '["', entry.place.name, '"]')
    arrow = "-.->" if entry.phase == "after commit" else "-->"
    if entry.sender == "any sender" or is_own_module(entry.signal.module):
        start = _signal_node(entry.signal.path)
        label = "" if entry.sender == "any sender" else f"|{_label(entry.sender)}|"
        yield f"    {start} {arrow}{label} {receiver}"
    else:
        start = _node("sender", entry.sender, '(["', entry.sender, '"])')
        yield f"    {start} {arrow}|{entry.signal.name}| {receiver}"
    for step in entry.steps:
        near = f"    receiver_{_identifier(entry.place.path)}"
        if step.kind == "job":
            yield f"{near} ==>|job| {_node('job', step.path, '[["', step.name, '"]]')}"
        else:
            yield f"{near} -->|sends| {_signal_node(step.path)}"


def _signal_node(path: str) -> str:
    return _node("signal", path, '[/"', path.rpartition(".")[2], '"/]')


def _node(kind: str, path: str, left: str, label: str, right: str) -> str:
    return f"{kind}_{_identifier(path)}{left}{_label(label)}{right}"


def _identifier(path: str) -> str:
    return re.sub(r"\W+", "_", path)


def _label(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "'")


def _step(step: Step) -> str:
    if step.kind == "job":
        return f"job {_linked(step.name, step.file)}" if step.file else f"job `{step.name}`"
    return f"signal `{step.name}`"


def _linked(name: str, file: str) -> str:
    return f"[`{name}`](../{file})"


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
