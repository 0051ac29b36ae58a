"""System checks for connected receivers. They find mistakes that Django accepts and that fail later.

They check all receivers of the project, but not those of Django and of installed packages.
``SILENCED_SYSTEM_CHECKS`` silences a check by its id.
"""

import gc
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations
from types import FrameType
from typing import Any, Final

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning
from django.db.backends.signals import connection_created
from django.db.models.signals import ModelSignal, class_prepared, post_migrate, pre_migrate
from django.dispatch import Signal
from django.utils import inspect as django_inspect

from apps.core.dispatch import connected

from .entries import Entry, is_of_django_itself, read_entries
from .live import NAMELESS, UNKNOWN, Link, all_signals, links_of, named_signals, sender_label
from .places import function_of

type Finding = tuple[str, str, str]  # the number of the check, the message and the hint

# How far to follow references to a receiver. Each step searches all objects of the process.
DEEPEST: Final = 8
BROADEST: Final = 64
MEMORY: Final = type(cache(int))
# Django sends the signals of models, and these, from synchronous code only.
SENT_SYNCHRONOUSLY: Final = (class_prepared, connection_created, pre_migrate, post_migrate)


def check_receivers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check every receiver of the project, or of the given apps."""
    found = [
        (entry, entry.link)
        for entry in read_entries()
        if entry.link and entry.place.is_own
        if app_configs is None or any(entry.is_part_of(config) for config in app_configs)
    ]
    found.sort(key=lambda each: (each[0].place.file, each[0].place.line, each[0].where))
    messages = [
        _message(entry, *finding)
        for entry, link in found
        for check in (_weakly_held, _against_the_signal, _decorated_above)
        for finding in check(entry, link)
    ]
    return [*messages, *_connected_twice(found), *([] if app_configs else _lost())]


def _message(entry: Entry, number: str, message: str, hint: str) -> CheckMessage:
    kind = Error if number.startswith("E") else Warning
    name = f"{entry.place}: {entry.place.name}"
    return kind(message, hint=f"{entry.place}: {hint}", obj=name, id=f"signal_map.{number}")


def _weakly_held(entry: Entry, link: Link) -> Iterator[Finding]:
    """A function without another reference is deleted when the code around it ends."""
    is_held = not link.weak or _is_held(link.receiver)
    if is_held is None:
        yield (
            "W001",
            f"A receiver of {entry.where} is held by a weak reference, and the check cannot tell"
            " whether another object keeps it alive.",
            "connect it with the receiver of apps.core.dispatch.",
        )
    elif not is_held:
        yield (
            "E001",
            f"A receiver of {entry.where} is held by a weak reference only. Python garbage-collects"
            " it, and then it silently stops running. With DEBUG on it survives.",
            "make it a function of its module, or connect it with the receiver of"
            " apps.core.dispatch or with weak=False.",
        )


def _against_the_signal(entry: Entry, link: Link) -> Iterator[Finding]:
    """Mistakes in the kind, the parameters, the docstring or the sender of a receiver."""
    is_of_models = isinstance(link.signal, ModelSignal)
    if link.is_async and (is_of_models or link.signal in SENT_SYNCHRONOUSLY):
        yield (
            "E003",
            f"A receiver of {entry.where} is async, but Django sends that signal from synchronous"
            " code: each call starts an event loop, and fails where one runs.",
            "make it a plain function and hand slow work off to a job.",
        )
    # Django checks this with DEBUG only. Without DEBUG, the first signal fails.
    if not _takes_any_keyword(link.receiver):
        yield (
            "E004",
            f"A receiver of {entry.where} does not accept **kwargs, and fails when it is called.",
            "add **kwargs to its parameters.",
        )
    if not entry.summary:
        yield (
            "W005",
            f"A receiver of {entry.where} has no docstring, so no list of receivers can say what"
            " it does.",
            "say in one line what happens and when.",
        )
    if is_of_models and link.sender is None:
        yield (
            "W006",
            f"A receiver of {entry.signal.name} names no sender: it runs for every model, and a"
            " deletion of many rows has to load them all.",
            "name the model, for example sender=settings.AUTH_USER_MODEL.",
        )


def _decorated_above(entry: Entry, link: Link) -> Iterator[Finding]:
    """A decorator above ``@receiver`` wraps the name in the module, not the connected function."""
    receiver = link.receiver
    how = connected(receiver)
    if how is None:
        return
    named = getattr(sys.modules.get(how.function.__module__), receiver.__name__, how.function)
    if named is how.function or connected(named):
        return
    cells = [cell.cell_contents for cell in getattr(named, "__closure__", None) or ()]
    if any(it is receiver for it in cells) or function_of(named) is function_of(receiver):
        yield (
            "W008",
            f"A decorator above the one that connects a receiver to {entry.where} never runs.",
            "write it below @receiver.",
        )


def _connected_twice(found: Iterable[tuple[Entry, Link]]) -> Iterator[CheckMessage]:
    """One function under two ``dispatch_uid``, or from a file imported under two names."""
    together: dict[tuple[Signal, str, int, str], list[tuple[Entry, Link]]] = {}
    for entry, link in found:
        place = entry.place
        key = (link.signal, place.file, place.line, place.name)
        together.setdefault(key, []).append((entry, link))
    for same in together.values():
        for (one, first), (other, second) in combinations(same, 2):
            if _both_run(first, second):
                modules = sorted({one.place.path, other.place.path})
                known_as = f", as {' and as '.join(modules)}" if len(modules) > 1 else ""
                yield _message(
                    other,
                    "W007",
                    f"One function is connected twice to {other.where}{known_as}: it runs twice.",
                    "connect it once, and import its file under one name; the receiver of"
                    " apps.core.dispatch sees to both.",
                )
                break


def _both_run(first: Link, second: Link) -> bool:
    """Return whether a signal from one sender reaches both."""
    senders = (first.sender, second.sender)
    if UNKNOWN in senders or (first.sender is not second.sender and None not in senders):
        return False
    return _enclosed(first.receiver) == _enclosed(second.receiver)


def _enclosed(receiver: Any) -> list[Any]:
    """Return what differs between two functions of the same code: instance and closure values."""
    instance = getattr(receiver, "__self__", None)
    cells = getattr(function_of(receiver), "__closure__", None) or ()
    return [id(instance), *(id(cell.cell_contents) for cell in cells)]


def _lost() -> Iterator[CheckMessage]:
    """Receivers that are gone. Django removes them at the next ``connect()`` to the signal."""
    names = named_signals()
    for signal in all_signals():
        name = names.get(signal, NAMELESS)
        for link in links_of(signal):
            # Django itself loses some receivers, such as those of its file storages.
            if link.receiver is None and not is_of_django_itself(name):
                yield Warning(
                    f"A receiver of {name.name} of {sender_label(link.sender)} was held by a weak"
                    " reference only. It was garbage-collected, and never runs.",
                    hint="Its name is lost. Run the same with DEBUG=1, where it survives. Then"
                    " signal_map.E001 names its file and line.",
                    id="signal_map.W002",
                )


def _is_held(receiver: Any) -> bool | None:
    """Return whether a lasting object holds a receiver; None when the search takes too long.

    Each round asks the garbage collector for the objects that refer to those of the last round.
    Frames do not last. Neither does Django's cache of signatures, which it fills with DEBUG on.
    """
    target = receiver.__self__ if inspect.ismethod(receiver) else receiver
    modules = {id(getattr(module, "__dict__", None)) for module in list(sys.modules.values())}
    frontier: list[Any] = [target]
    seen = {id(target)}
    for _ in range(DEEPEST):
        if not frontier or len(frontier) > BROADEST:
            break
        seen.add(id(frontier))
        # The arguments of this call refer to the objects too, so they are left out.
        found = [each for each in gc.get_referrers(*frontier, seen) if id(each) not in seen]
        holders = [each for each in found if type(each) is not tuple or not _ends(each, seen)]
        if any(id(each) in modules for each in holders):
            return True
        seen.update(map(id, [found, holders, *holders]))
        frontier = [each for each in holders if not _passes(each)]
    return None if frontier else False


def _ends(values: tuple[Any, ...], last: object) -> bool:
    return bool(values) and values[-1] is last


def _passes(holder: Any) -> bool:
    kind = type(holder)  # isinstance would evaluate lazy objects
    is_memory = kind is MEMORY and holder.__module__ == django_inspect.__name__
    return is_memory or kind in (FrameType, Link)


def _takes_any_keyword(receiver: Any) -> bool:
    # Django's own function for this has a cache that would hold every function.
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # written in C
        return True
    return any(each.kind is each.VAR_KEYWORD for each in parameters)
