"""The page "Signals" of the admin: all receivers, and those that ran in the last requests."""

from typing import Any

from django.contrib import admin
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.core import watch

from . import tracing
from .document import documented
from .entries import Entry, entries_of, read_entries
from .live import NAMELESS, SignalName, named_signals


@require_safe
def signals(request: HttpRequest) -> HttpResponse:
    """Show the graph and the table of receivers, and which ran in the last requests.

    For members of the staff: see ``urls.py``.
    """
    everything = documented(read_entries())
    choices = {
        "app": {label for entry in everything for label in entry.apps},
        "sender": {entry.sender for entry in everything},
        "signal": {entry.signal.name for entry in everything},
    }
    chosen = {name: request.GET.get(name, "") for name in choices}
    wanted = {name: {chosen[name]} & words for name, words in choices.items()}
    filtered = any(wanted.values())
    entries = entries_of(everything, wanted)
    names, shown = named_signals(), _shown(entries) if filtered else None
    requests = [_request(trace, names, shown) for trace in tracing.kept_traces()]
    context = {
        **admin.site.each_context(request),
        "title": "Signals",
        "filters": [
            {"name": name, "label": name.title(), "choices": sorted(words), "chosen": chosen[name]}
            for name, words in choices.items()
        ],
        "filtered": filtered,
        "rows": _rows(entries, everything),
        "tracing": watch.watcher is not None,
        "requests": [request for request in requests if request["runs"]],
    }
    return render(request, "signal_map/signals.html", context)


def _rows(entries: list[Entry], everything: list[Entry]) -> list[dict[str, Any]]:
    """Number the entries; add the receivers of the project's signals that each one sends."""
    numbers = {id(entry): number for number, entry in enumerate(entries, 1)}

    def row(entry: Entry, sent: tuple[str, ...] = ()) -> dict[str, Any]:
        steps = [
            {
                "step": step,
                # A signal that leads to itself is drawn once.
                "rows": [
                    row(each, (*sent, step.path))
                    for each in everything
                    if step.path not in sent and each.signal.path == step.path
                ],
            }
            for step in entry.steps
        ]
        return {"number": numbers.get(id(entry)), "entry": entry, "steps": steps}

    return [row(entry) for entry in entries]


def _shown(entries: list[Entry]) -> set[tuple[str, str, str]]:
    """Return path, signal and sender of the entries, and of the jobs that they queue."""
    found = {(entry.place.path, entry.signal.name, entry.sender) for entry in entries}
    return found | {(step.path, "", "") for entry in entries for step in entry.steps}


def _request(
    trace: tracing.Trace,
    names: dict[Signal, SignalName],
    shown: set[tuple[str, str, str]] | None,
) -> dict[str, Any]:
    everything = [_run(runs, names) for runs in trace.runs.values()]
    runs = [
        run
        for run in everything
        if shown is None
        or {(run["path"], run["signal"], each) for each in (run["sender"], "any sender")} & shown
    ]
    part = f"{len(runs)} of " if len(runs) < len(everything) else ""
    return {
        "trace": trace,
        "receivers": part + tracing.counted(len(everything), "receiver"),
        "queries": tracing.counted(trace.total.queries, "query", "queries"),
        "milliseconds": _milliseconds(trace.seconds),
        "receiver_milliseconds": _milliseconds(trace.total.seconds),
        "runs": runs,
    }


def _run(runs: tracing.Runs, names: dict[Signal, SignalName]) -> dict[str, Any]:
    module, _, name = runs.name.rpartition(".")
    signal = names.get(runs.signal, NAMELESS).name if runs.signal else ""
    more = {"path": runs.name, "module": module, "name": name, "signal": signal}
    return vars(runs) | more | {"milliseconds": _milliseconds(runs.seconds)}


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
