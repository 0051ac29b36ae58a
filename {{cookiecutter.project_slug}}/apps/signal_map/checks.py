"""System checks for connected receivers. They find mistakes that Django accepts and that fail later.

They check all receivers of the project, but not those of Django and of installed packages.
``SILENCED_SYSTEM_CHECKS`` silences a check by its id.
"""

import gc
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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

from .entries import is_of_django_itself, is_of_the_kit
from .live import (
    NAMELESS,
    UNKNOWN,
    Link,
    SignalName,
    all_signals,
    links_of,
    named_signals,
)
from .loading import load_all
from .names import sender_label
from .places import Place, function_of, place_of

# How far to follow references to a receiver. Each step searches all objects of the process.
DEEPEST: Final = 8
BROADEST: Final = 64
MEMORY: Final = type(cache(int))
# Django sends the signals of models, and these, from synchronous code only.
SENT_SYNCHRONOUSLY: Final = (class_prepared, connection_created, pre_migrate, post_migrate)


@dataclass(frozen=True, slots=True)
class Connected:
    """A receiver of the project, with its signal and its place."""

    link: Link
    signal: SignalName
    place: Place

    def __str__(self) -> str:
        return f"{self.place}: {self.place.name}"

    @property
    def where(self) -> str:
        """The signal and the sender, for a sentence."""
        link = self.link
        sender = "another sender" if link.sender is UNKNOWN else sender_label(link.sender)
        return f"{self.signal.name} of {sender}"


def check_receivers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check every receiver of the project, or of the given apps."""
    load_all()
    names = named_signals()
    found: list[Connected] = []
    lost: list[CheckMessage] = []
    for signal in all_signals():
        name = names.get(signal, NAMELESS)
        for link in links_of(signal):
            if link.receiver is None:
                # Django itself loses some receivers there, such as those of its file storages.
                if not is_of_django_itself(name):
                    lost.append(_lost(link, name))
            elif not is_of_the_kit(link.receiver):
                place = place_of(link.receiver)
                if place.is_own and _is_asked_for(place, app_configs):
                    found.append(Connected(link, name, place))
    found.sort(key=lambda each: (each.place.file, each.place.line, each.where))
    messages = [message for each in found for check in CHECKS for message in check(each)]
    return [*messages, *_connected_twice(found), *([] if app_configs else lost)]


def _is_asked_for(place: Place, app_configs: Sequence[AppConfig] | None) -> bool:
    return app_configs is None or any(
        f"{place.path}.".startswith(f"{config.name}.") for config in app_configs
    )


def _weakly_held(each: Connected) -> Iterator[CheckMessage]:
    """A function without another reference is deleted when the code around it ends."""
    is_held = not each.link.weak or _is_held(each.link.receiver)
    if is_held is None:
        yield Warning(
            f"A receiver of {each.where} is held by a weak reference, and the check cannot tell whether"
            " another object keeps it alive.",
            hint=f"{each.place}: connect it with the receiver of apps.core.dispatch.",
            obj=each,
            id="signal_map.W001",
        )
    elif not is_held:
        yield Error(
            f"A receiver of {each.where} is held by a weak reference only. Python garbage-collects it,"
            " and then it silently stops running. With DEBUG on it survives.",
            hint=f"{each.place}: make it a function of its module, or connect it with the receiver"
            " of apps.core.dispatch or with weak=False.",
            obj=each,
            id="signal_map.E001",
        )


def _asynchronous(each: Connected) -> Iterator[CheckMessage]:
    """Synchronous code starts an event loop for an async receiver, or fails inside one."""
    signal = each.link.signal
    if each.link.is_async and (isinstance(signal, ModelSignal) or signal in SENT_SYNCHRONOUSLY):
        yield Error(
            f"A receiver of {each.where} is async, but Django sends that signal from synchronous"
            " code: each call starts an event loop, and fails where one runs.",
            hint=f"{each.place}: make it a plain function and hand slow work off to a job.",
            obj=each,
            id="signal_map.E003",
        )


def _without_kwargs(each: Connected) -> Iterator[CheckMessage]:
    """Django checks this with DEBUG only. Without DEBUG, the first signal fails."""
    if not _takes_any_keyword(each.link.receiver):
        yield Error(
            f"A receiver of {each.where} does not accept **kwargs, and fails when it is called.",
            hint=f"{each.place}: add **kwargs to its parameters.",
            obj=each,
            id="signal_map.E004",
        )


def _without_docstring(each: Connected) -> Iterator[CheckMessage]:
    """The code that sends a signal does not show its receivers, so they need a docstring."""
    if not inspect.getdoc(function_of(each.link.receiver)):
        yield Warning(
            f"A receiver of {each.where} has no docstring, so no list of receivers can say what it"
            " does.",
            hint=f"{each.place}: say in one line what happens and when.",
            obj=each,
            id="signal_map.W005",
        )


def _without_sender(each: Connected) -> Iterator[CheckMessage]:
    """A receiver of every model prevents the fast deletion of each model."""
    if each.link.sender is None and isinstance(each.link.signal, ModelSignal):
        yield Warning(
            f"A receiver of {each.signal.name} names no sender: it runs for every model, and a"
            " deletion of many rows has to load them all.",
            hint=f"{each.place}: name the model, for example sender=settings.AUTH_USER_MODEL.",
            obj=each,
            id="signal_map.W006",
        )


def _decorated_above(each: Connected) -> Iterator[CheckMessage]:
    """A decorator above ``@receiver`` wraps the name in the module, not the connected function."""
    receiver = each.link.receiver
    how = connected(receiver)
    if how is None:
        return
    named = getattr(sys.modules.get(how.function.__module__), receiver.__name__, how.function)
    if named is how.function or connected(named):
        return
    cells = [cell.cell_contents for cell in getattr(named, "__closure__", None) or ()]
    if any(it is receiver for it in cells) or function_of(named) is function_of(receiver):
        yield Warning(
            f"A decorator above the one that connects a receiver to {each.where} never runs.",
            hint=f"{each.place}: write it below @receiver.",
            obj=each,
            id="signal_map.W008",
        )


CHECKS: Final[tuple[Callable[[Connected], Iterable[CheckMessage]], ...]] = (
    _weakly_held,
    _asynchronous,
    _without_kwargs,
    _without_docstring,
    _without_sender,
    _decorated_above,
)


def _connected_twice(found: Iterable[Connected]) -> Iterator[CheckMessage]:
    """One function under two ``dispatch_uid``, or from a file imported under two names."""
    together: dict[tuple[Signal, str, int, str], list[Connected]] = {}
    for each in found:
        key = (each.link.signal, each.place.file, each.place.line, each.place.name)
        together.setdefault(key, []).append(each)
    for same in together.values():
        for first, second in combinations(same, 2):
            if _both_run(first.link, second.link):
                modules = sorted({first.place.path, second.place.path})
                known_as = f", as {' and as '.join(modules)}" if len(modules) > 1 else ""
                yield Warning(
                    f"One function is connected twice to {second.where}{known_as}: it runs twice.",
                    hint=f"{second.place}: connect it once, and import its file under one name;"
                    " the receiver of apps.core.dispatch sees to both.",
                    obj=second,
                    id="signal_map.W007",
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


def _lost(link: Link, name: SignalName) -> CheckMessage:
    """Its function is unknown. Django removes it at the next ``connect()`` to the signal."""
    sender = "another sender" if link.sender is UNKNOWN else sender_label(link.sender)
    return Warning(
        f"A receiver of {name.name} of {sender} was held by a weak reference only. It was"
        " garbage-collected, and never runs.",
        hint="Its name is lost. Run the same with DEBUG=1, where it survives. Then signal_map.E001"
        " names its file and line.",
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
    return is_memory or kind in (FrameType, Link, Connected)


def _takes_any_keyword(receiver: Any) -> bool:
    # Django's own function for this has a cache that would hold every function.
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # written in C
        return True
    return any(each.kind is each.VAR_KEYWORD for each in parameters)
