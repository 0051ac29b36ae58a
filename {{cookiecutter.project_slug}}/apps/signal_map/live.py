"""The receivers that are connected to each signal now, read from Django."""

import gc
import sys
import weakref
from dataclasses import dataclass
from typing import Any, Final

from django.apps import AppConfig
from django.db.models import Model
from django.db.models.signals import ModelSignal
from django.dispatch import Signal
from django.dispatch.dispatcher import NONE_ID

from .places import is_own_module

# A sender of which Django keeps only the id, such as a string.
UNKNOWN: Final = object()


@dataclass(frozen=True, slots=True)
class Link:
    """A receiver connected to a signal.

    ``receiver`` is None when it was held weakly and was garbage-collected. ``sender`` is None for
    every sender, and ``UNKNOWN`` when Django keeps no reference to it.
    """

    signal: Signal
    receiver: Any
    sender: Any
    weak: bool
    is_async: bool


@dataclass(frozen=True, slots=True)
class SignalName:
    """The name of a signal, and the module that defines it."""

    name: str
    module: str

    @property
    def path(self) -> str:
        """The dotted path of the signal."""
        return f"{self.module}.{self.name}"


NAMELESS: Final = SignalName("a nameless signal", "")


def links_of(signal: Signal) -> list[Link]:
    """List what is connected to a signal, in the order of connection.

    Only this function depends on how Django 6.1 stores its receivers:
    ``((key of the receiver, id of the sender), receiver or weak reference to it, weak reference
    to the sender or None, whether it is async)``.
    """
    with signal.lock:
        rows = list(signal.receivers)
    links = []
    for (_, sender_key), receiver, sender_reference, is_async in rows:
        weak = isinstance(receiver, weakref.ReferenceType)
        if sender_key == NONE_ID:
            sender = None
        elif sender_reference is None:
            sender = UNKNOWN
        else:
            sender = sender_reference()
            if sender is None:  # deleted, so its receivers never run
                continue
        links.append(Link(signal, receiver() if weak else receiver, sender, weak, is_async))
    return links


def sender_label(sender: Any) -> str:
    """Name a sender: ``"accounts.User"`` for a model, ``"any sender"`` for None."""
    if sender is None:
        return "any sender"
    if sender is UNKNOWN:
        return "another sender"
    if isinstance(sender, type) and issubclass(sender, Model):
        return sender._meta.label
    if isinstance(sender, AppConfig):
        return f"app {sender.label}"
    # Not its repr, which may contain an address in memory.
    name: str = getattr(sender, "__qualname__", "") or f"an instance of {type(sender).__name__}"
    return name


def phase_of(signal: Signal | None, *, after_commit: bool, is_async: bool) -> str:
    """Return when a signal calls a receiver.

    A model signal is sent inside the caller's transaction, if there is one. For other signals
    only the sender knows. Async receivers run after the others, all at the same time. ``signal``
    is None when code calls the receiver itself.
    """
    if after_commit:
        return "after commit"
    if is_async:
        return "async"
    return "in transaction" if isinstance(signal, ModelSignal) else "when sent"


def all_signals() -> list[Signal]:
    """List every signal, also those without a name in a module."""
    kinds: list[type[Signal]] = [Signal]
    for kind in kinds:
        kinds.extend(each for each in kind.__subclasses__() if each not in kinds)
    # An object refers to its class, so this finds all signals quickly.
    return [found for found in gc.get_referrers(*kinds) if issubclass(type(found), Signal)]


def named_signals() -> dict[Signal, SignalName]:
    """Name every signal by the module that defines it; see ``NAMELESS`` for the others."""
    found: dict[Signal, list[SignalName]] = {}
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            # isinstance would evaluate lazy objects, such as the settings.
            if issubclass(type(value), Signal):
                found.setdefault(value, []).append(SignalName(name, module_name))
    return {signal: min(names, key=_rank) for signal, names in found.items()}


def _rank(name: SignalName) -> tuple[bool, bool, int, str, str]:
    """Put the module that defines a signal before those that import it."""
    module = name.module
    return (not module.endswith("signals"), is_own_module(module), len(module), module, name.name)
