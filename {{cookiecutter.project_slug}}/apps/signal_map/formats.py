"""The list of receivers for a terminal and for programs."""

import json
import textwrap
from dataclasses import asdict
from itertools import groupby
from typing import Any

from .entries import Entry

INDENT = " " * len("    in transaction  ")


def table(entries: list[Entry], width: int) -> str:
    """Write entries for a terminal; docstrings are wrapped to so many columns."""
    found: list[str] = []
    for sender, of_sender in groupby(entries, lambda entry: entry.sender):
        found += ["", sender] if found else [sender]
        for signal, of_signal in groupby(of_sender, lambda entry: entry.signal):
            found.append(f"  {signal.name}")
            for entry in of_signal:
                mark = "" if entry.origin == "kit" else f" ({entry.origin})"
                found.append(f"    {entry.phase:14}  {entry.place.name}{mark}  {entry.place}")
                summary = entry.summary or "(no docstring)"
                found += textwrap.wrap(
                    summary, width, initial_indent=INDENT, subsequent_indent=INDENT
                )
                for step in entry.steps:
                    place = f"  {step.file}:{step.line}" if step.file else ""
                    found.append(f"    → {step.kind:12}  {step.name}{place}")
    return "\n".join(found)


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
