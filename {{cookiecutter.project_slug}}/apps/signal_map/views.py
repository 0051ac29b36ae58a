"""The page "Signals" of the admin: all receivers, and those that ran in the last requests."""

from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models.signals import ModelSignal
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.core import watch

from . import tracing
from .document import documented
from .entries import Entry, entries_of, grouped, read_entries
from .live import NAMELESS, SignalName, named_signals


@require_safe
def signals(request: HttpRequest) -> HttpResponse:
    """Show the graph and the table of receivers, and which ran in the last requests.

    For members of the staff: see ``urls.py``.
    """
    everything = documented(read_entries())
    filters = [
        _filter(request, "app", "App", {label for entry in everything for label in entry.apps}),
        _filter(request, "sender", "Sender", {entry.sender for entry in everything}),
        _filter(request, "signal", "Signal", {entry.signal.name for entry in everything}),
    ]
    app, sender, signal = ([each["chosen"]] if each["chosen"] else [] for each in filters)
    try:
        entries = entries_of(everything, app_labels=app, senders=sender, signals=signal)
    except LookupError:  # each choice exists, but not this combination
        entries = []
    rows = [{"number": number, "entry": entry} for number, entry in enumerate(entries, 1)]
    names = named_signals()
    context = {
        **admin.site.each_context(request),
        "title": "Signals",
        "filters": filters,
        "filtered": bool(app or sender or signal),
        "senders": _senders(entries, rows),
        "rows": rows,
        "tracing": watch.watcher is not None,
        "requests": [_request(trace, names) for trace in tracing.kept_traces()],
    }
    return render(request, "signal_map/signals.html", context)


def _filter(request: HttpRequest, name: str, label: str, choices: set[str]) -> dict[str, Any]:
    chosen = request.GET.get(name, "")
    return {
        "name": name,
        "label": label,
        "choices": sorted(choices),
        "chosen": chosen if chosen in choices else "",
    }


def _senders(entries: list[Entry], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the rows into a tree: sender, signal, receiver."""
    following = iter(rows)
    return [
        {
            "name": name,
            "groups": [
                {"signal": group.signal, "rows": [next(following) for _ in group.entries]}
                for group in groups
            ],
        }
        for name, groups in groupby(grouped(entries), key=lambda group: group.sender)
    ]


def _request(trace: tracing.Trace, names: dict[Signal, SignalName]) -> dict[str, Any]:
    runs = list(trace.runs.values())
    return {
        "trace": trace,
        "receivers": tracing.counted(len(runs), "receiver"),
        "queries": tracing.counted(trace.queries, "query", "queries"),
        "milliseconds": _milliseconds(trace.seconds),
        "receiver_milliseconds": _milliseconds(trace.receiver_seconds),
        "runs": [_run(run, names) for run in runs],
    }


def _run(runs: tracing.Runs, names: dict[Signal, SignalName]) -> dict[str, Any]:
    module, _, name = runs.name.rpartition(".")
    return {
        "name": name,
        "module": module,
        "signal": names.get(runs.signal, NAMELESS).name if runs.signal else "",
        "sender": runs.sender,
        "phase": _phase(runs),
        "calls": runs.calls,
        "failures": runs.failures,
        "milliseconds": _milliseconds(runs.seconds),
        "queries": runs.queries,
    }


def _phase(runs: tracing.Runs) -> str:
    if runs.signal is None:
        return "background job"
    if runs.after_commit:
        return "after commit"
    if runs.asynchronous:
        return "async"
    return "in transaction" if isinstance(runs.signal, ModelSignal) else "when sent"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
