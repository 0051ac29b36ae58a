"""``docs/signals.md``: a table of what runs when, and a graph that code hosts draw."""

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

Which receiver runs when, as `manage.py signals --write` reads it from the running project. \
`manage.py signals --check`, which the tests and CI run, fails when this page no longer says what \
is connected. `manage.py signals` prints the same with line numbers, and also what Django connects \
for its own affairs.

- **in transaction**: inside the caller's transaction, if there is one; a failure reaches the caller. Without one, Django has committed the row already; the user model always opens one.
- **when sent**: right away; the sender of the signal decides when that is.
- **async**: as before, after the receivers that are not async, all async ones at the same time.
- **after commit**: once the transaction is committed; never after a rollback.
- A **job** runs in the background, after the commit.

Receivers of one sender and signal run from top to bottom; those of `any sender` run in between, in \
the order of their connection. A mark behind the name says more: `connect()` is a receiver of the \
project that was connected without the kit; the name of an app is what that app does without a \
receiver.

## Receivers

| Sender | Signal | When | Receiver | What it does | Leads to |
|---|---|---|---|---|---|"""
BETWEEN: Final = """
## Graph

A full line is a receiver that runs at once, a dotted one waits for the commit, a thick one leads \
to a job.

```mermaid
flowchart LR"""
AFTER: Final = "```"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the document; ``about`` has the names of all that it speaks of."""

    text: str
    about: tuple[str, ...] = ()


def path_of_document() -> Path:
    """Return where the document is kept."""
    return Path(settings.BASE_DIR) / "docs" / "signals.md"


def documented(entries: Iterable[Entry]) -> list[Entry]:
    """Choose what belongs into the document: all but what packages do for themselves."""
    return [entry for entry in entries if not entry.is_inward]


def lines(entries: list[Entry]) -> list[Line]:
    """Write the document line by line; no line depends on any other."""
    found = [Line(text) for text in BEFORE.split("\n")]
    found += [Line(row(entry), about(entry)) for entry in entries]
    found += [Line(text) for text in BETWEEN.split("\n")]
    found += [Line(text, about(entry)) for entry in entries for text in edges(entry)]
    return [*found, *(Line(text) for text in AFTER.split("\n"))]


def text_of(found: Iterable[Line]) -> str:
    """Put lines together. What is said of several things in the same words is said once."""
    said: set[str] = set()
    texts = []
    for line in found:
        if not line.about or line.text not in said:
            texts.append(line.text)
        if line.about:
            said.add(line.text)
    return "\n".join(texts) + "\n"


def document(entries: list[Entry]) -> str:
    """Write the whole document."""
    return text_of(lines(entries))


def about(entry: Entry) -> tuple[str, ...]:
    """Name everything that an entry speaks of."""
    return (
        entry.sender,
        f"{entry.signal.module}.{entry.signal.name}",
        entry.place.path,
        *(step.path for step in entry.steps),
    )


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
        start = _signal_node(f"{entry.signal.module}.{entry.signal.name}")
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
