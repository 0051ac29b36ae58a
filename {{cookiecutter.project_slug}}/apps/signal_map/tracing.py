"""The receivers and jobs of a request, with their times and their numbers of queries.

The setting ``SIGNAL_TRACING`` switches it on, and is on in development. The app then sets this
module in ``apps.core.watch``. The response lists the results in its header
``Server-Timing``, which browsers show in their network tab. The page "Signals" shows them too.

Times and queries of a receiver include those of the receivers and jobs that it causes.
"""

import re
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from inspect import iscoroutinefunction
from time import perf_counter
from types import coroutine
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import connections
from django.dispatch import Signal
from django.utils import timezone

from .live import phase_of, sender_label

KEPT_REQUESTS: Final = 20
# Servers refuse headers of more than a few kilobytes.
TIMINGS_IN_HEADER: Final = 20


@dataclass
class Runs:
    """All runs of one receiver for one signal and sender in a request, or of one job.

    ``name`` is the dotted path of the function; ``signal`` is None for a job. ``phase`` is that of
    an ``Entry``, or ``"background job"``. ``seconds`` and ``queries`` are sums over all calls.
    """

    name: str
    signal: Signal | None = None
    sender: str = ""
    phase: str = "background job"
    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    queries: int = 0


@dataclass(slots=True)
class Trace:
    """The runs of one request; ``route`` is the pattern of its URL, which holds no secrets.

    ``total`` counts all calls, and the seconds and queries of those that no other run caused.
    """

    method: str
    started_at: datetime
    route: str = ""
    status: int = 0
    request_id: str = ""
    seconds: float = 0.0
    total: Runs = field(default_factory=lambda: Runs("receivers"))
    runs: dict[tuple[str, Signal | None, str, str], Runs] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    parent: "_Run | None"
    queries: int = 0


_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
_run: ContextVar[_Run | None] = ContextVar("run", default=None)
_kept: Final[deque[Trace]] = deque(maxlen=KEPT_REQUESTS)


def kept_traces() -> list[Trace]:
    """List the last requests of this process in which a receiver ran, the latest first."""
    return list(reversed(_kept))


@contextmanager
def tracing(method: str) -> Iterator[Trace]:
    """Collect the receivers and jobs that run in the block, for one request."""
    trace = Trace(method=method, started_at=timezone.now())
    token = _trace.set(trace)
    started = perf_counter()
    try:
        yield trace
    finally:
        trace.seconds = perf_counter() - started
        _trace.reset(token)
        if trace.runs:
            _kept.append(trace)


def run(
    function: Callable[..., Any],
    name: str,
    sender: Any,
    named: dict[str, Any],
    *,
    after_commit: bool = False,
) -> Any:
    """Call a receiver, which may be async, and time it if a request is being traced."""
    trace = _trace.get()
    if trace is None:
        return function(sender=sender, **named)
    is_async, signal = iscoroutinefunction(function), named.get("signal")
    phase = phase_of(signal, after_commit=after_commit, is_async=is_async)
    runs = Runs(name, signal, sender_label(sender), phase)
    if is_async:
        return _run_async(trace, runs, function(sender=sender, **named))
    with _timed(trace, runs) as this, _counted_for(this):
        return function(sender=sender, **named)


async def _run_async(trace: Trace, runs: Runs, receiver: Coroutine[Any, Any, Any]) -> Any:
    # The ORM's async methods use the connections of this one other thread.
    await sync_to_async(_count_queries_of_this_thread)()
    with _timed(trace, runs) as this:
        return await _step_by_step(receiver, this)


@contextmanager
def job(name: str) -> Iterator[None]:
    """Time a job that runs in this process, if a request is being traced."""
    trace = _trace.get()
    if trace is None:
        yield
        return
    with _timed(trace, Runs(name)) as this, _counted_for(this):
        yield


@contextmanager
def _timed(trace: Trace, new: Runs) -> Iterator[_Run]:
    # Equal runs are one entry, because a request may save thousands of rows.
    runs = trace.runs.setdefault((new.name, new.signal, new.sender, new.phase), new)
    this = _Run(parent=_run.get())
    started = perf_counter()
    try:
        yield this
    except BaseException:
        runs.failures += 1
        raise
    finally:
        seconds = perf_counter() - started
        runs.calls += 1
        trace.total.calls += 1
        runs.seconds += seconds
        runs.queries += this.queries
        if this.parent is None:
            trace.total.seconds += seconds
        (this.parent or trace.total).queries += this.queries


@contextmanager
def _counted_for(this: _Run) -> Iterator[None]:
    _count_queries_of_this_thread()
    token = _run.set(this)
    try:
        yield
    finally:
        _run.reset(token)


@coroutine
def _step_by_step(receiver: Coroutine[Any, Any, Any], this: _Run) -> Generator[Any, Any, Any]:
    """Run a coroutine; its run is in the context only during its own steps.

    All async receivers of a signal share one context. A value that one of them sets would be
    visible to the others while it waits.
    """
    answer: Any = None
    error: BaseException | None = None
    while True:
        token = _run.set(this)
        try:
            awaited = receiver.send(answer) if error is None else receiver.throw(error)
        except StopIteration as stop:
            return stop.value
        finally:
            _run.reset(token)
        try:
            answer, error = (yield awaited), None
        except BaseException as raised:  # noqa: BLE001 (the receiver handles it)
            answer, error = None, raised


def _count_queries_of_this_thread() -> None:
    for connection in connections.all():
        if _count not in connection.execute_wrappers:
            connection.execute_wrappers.append(_count)


def _count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    this = _run.get()
    if this is not None:
        this.queries += 1
    return execute(sql, params, many, context)


def server_timing(trace: Trace) -> str:
    """Write the header ``Server-Timing``: the sum, then the receivers that took longest.

    Empty when none ran; ``dur`` is in milliseconds.
    """
    if not trace.runs:
        return ""
    slowest = sorted(trace.runs.values(), key=lambda runs: -runs.seconds)
    return ", ".join(map(_timing, [trace.total, *slowest[:TIMINGS_IN_HEADER]]))


def _timing(runs: Runs) -> str:
    # Names of functions may be in any script. A token of HTTP must not contain these characters.
    token = re.sub(r"[^A-Za-z0-9_.-]", "-", runs.name.rpartition(".")[2])
    said = f"{counted(runs.calls, 'call')}, {counted(runs.queries, 'query', 'queries')}"
    return f'{token};dur={runs.seconds * 1000:.1f};desc="{token}: {said}"'


def counted(number: int, one: str, more: str = "") -> str:
    """Write a number with what it counts: ``1 query``, ``2 queries``."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"
