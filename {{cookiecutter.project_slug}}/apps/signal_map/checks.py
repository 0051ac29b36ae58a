"""System checks of the receivers that are connected: mistakes that Django accepts and that fail later.

They look at the project's own receivers, however they were connected, and leave those of Django
and of installed packages alone. ``SILENCED_SYSTEM_CHECKS`` silences each by its id.
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

# How far to follow what holds a receiver: each step looks through all objects of the process.
DEEPEST: Final = 8
BROADEST: Final = 64
MEMORY: Final = type(cache(int))
# Django sends the signals of models, and these, from synchronous code only.
SENT_SYNCHRONOUSLY: Final = (class_prepared, connection_created, pre_migrate, post_migrate)


@dataclass(frozen=True, slots=True)
class Connected:
    """A receiver of the project, and where it is connected."""

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
    """Look at every receiver of the project, or of the apps that are given."""
    load_all()
    names = named_signals()
    found: list[Connected] = []
    lost: list[CheckMessage] = []
    for signal in all_signals():
        name = names.get(signal, NAMELESS)
        for link in links_of(signal):
            if link.receiver is None:
                # Django loses some of its own there, such as those of its file storages.
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
    """A function that nothing else holds is gone as soon as the code around it ends."""
    is_held = not each.link.weak or _is_held(each.link.receiver)
    if is_held is None:
        yield Warning(
            f"A receiver of {each.where} is held by a weak reference, and it cannot be known whether"
            " what holds it lasts.",
            hint=f"{each.place}: connect it with the receiver of apps.core.dispatch.",
            obj=each,
            id="signal_map.W001",
        )
    elif not is_held:
        yield Error(
            f"A receiver of {each.where} is held by a weak reference only: it stops to run, without"
            " a word, when what has made it is garbage-collected. With DEBUG on it survives.",
            hint=f"{each.place}: make it a function of its module, or connect it with the receiver"
            " of apps.core.dispatch or with weak=False.",
            obj=each,
            id="signal_map.E001",
        )


def _asynchronous(each: Connected) -> Iterator[CheckMessage]:
    """Sent synchronously, an async receiver costs an event loop of its own or fails in one."""
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
    """Django looks at this with DEBUG only; without, the failure comes with the first signal."""
    if not _takes_any_keyword(each.link.receiver):
        yield Error(
            f"A receiver of {each.where} does not accept **kwargs, and fails when it is called.",
            hint=f"{each.place}: add **kwargs to its parameters.",
            obj=each,
            id="signal_map.E004",
        )


def _without_docstring(each: Connected) -> Iterator[CheckMessage]:
    """What a receiver does cannot be seen where the signal is sent: its docstring has to say."""
    if not inspect.getdoc(function_of(each.link.receiver)):
        yield Warning(
            f"A receiver of {each.where} has no docstring, so no list of receivers can say what it"
            " does.",
            hint=f"{each.place}: say in one line what happens and when.",
            obj=each,
            id="signal_map.W005",
        )


def _without_sender(each: Connected) -> Iterator[CheckMessage]:
    """Listening to every model takes the fast deletion away from all of them."""
    if each.link.sender is None and isinstance(each.link.signal, ModelSignal):
        yield Warning(
            f"A receiver of {each.signal.name} names no sender: it runs for every model, and a"
            " deletion of many rows has to load them all.",
            hint=f"{each.place}: name the model, for example sender=settings.AUTH_USER_MODEL.",
            obj=each,
            id="signal_map.W006",
        )


def _decorated_above(each: Connected) -> Iterator[CheckMessage]:
    """What stands above the decorator wraps the name in the module, and not what is connected."""
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
    """Say whether a signal from one sender reaches both."""
    senders = (first.sender, second.sender)
    if UNKNOWN in senders or (first.sender is not second.sender and None not in senders):
        return False
    return _enclosed(first.receiver) == _enclosed(second.receiver)


def _enclosed(receiver: Any) -> list[Any]:
    """Return what tells apart two functions of the same code: whose method, around which values."""
    instance = getattr(receiver, "__self__", None)
    cells = getattr(function_of(receiver), "__closure__", None) or ()
    return [id(instance), *(id(cell.cell_contents) for cell in cells)]


def _lost(link: Link, name: SignalName) -> CheckMessage:
    """Nobody knows whose it was; the next connection to the signal clears it away."""
    sender = "another sender" if link.sender is UNKNOWN else sender_label(link.sender)
    return Warning(
        f"A receiver of {name.name} of {sender} was held by a weak reference only and is gone: it"
        " never runs.",
        hint="It left no name behind. Run the same with DEBUG=1, where it survives: signal_map.E001 then"
        " says where it stands.",
        id="signal_map.W002",
    )


def _is_held(receiver: Any) -> bool | None:
    """Say whether what holds a receiver lasts as long as a module; None when it is too much to ask.

    Each round asks the garbage collector for what refers to what the last one found. Frames do
    not last, nor does Django's memory of signatures, which it fills with DEBUG on.
    """
    target = receiver.__self__ if inspect.ismethod(receiver) else receiver
    modules = {id(getattr(module, "__dict__", None)) for module in list(sys.modules.values())}
    frontier: list[Any] = [target]
    seen = {id(target)}
    for _ in range(DEEPEST):
        if not frontier or len(frontier) > BROADEST:
            break
        seen.add(id(frontier))
        # The arguments of this call hold what they ask for as well, and are left out.
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
    kind = type(holder)  # isinstance would wake up lazy objects
    is_memory = kind is MEMORY and holder.__module__ == django_inspect.__name__
    return is_memory or kind in (FrameType, Link, Connected)


def _takes_any_keyword(receiver: Any) -> bool:
    # Django's own function for this remembers, and so holds, every function it is asked about.
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # written in C
        return True
    return any(each.kind is each.VAR_KEYWORD for each in parameters)
