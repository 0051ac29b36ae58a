"""Connects receivers to signals and refuses the classic mistakes.

``receiver`` replaces ``django.dispatch.receiver``. ``mute`` switches receivers off in a block.
"""

import inspect
from asyncio import sleep
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, NamedTuple, Never, cast

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model
from django.db.models.signals import ModelSignal, class_prepared, post_delete, pre_delete
from django.db.models.utils import make_model_tuple
from django.dispatch import Signal

from . import mistakes, watch
from .blocks import Block, Values
from .signals import bulk_created

type Receiver = Callable[..., Any]

# Receivers without the decorator, and senders.
_muted: ContextVar[Values[tuple[object, ...]]] = ContextVar("muted", default=())


class Connected(NamedTuple):
    """The function of a receiver, and the options of its ``@receiver``."""

    function: Receiver
    after_commit: bool
    raw: bool
    mutable: bool
    include_subclasses: bool

    @property
    def path(self) -> str:
        """The dotted path of the function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


# The receiver of each signal, sender and dispatch_uid.
_connections: Final[dict[tuple[int, int, str], Connected]] = {}
# Mistakes that can only be found when all models are loaded.
_unchecked: Final[list[tuple[Connected, Iterator[str]]]] = []


def receiver[Function: Receiver](
    signal: Signal | Sequence[Signal],
    sender: Any = None,
    *,
    after_commit: bool = False,
    raw: bool = False,
    include_subclasses: bool = False,
    mutable: bool = True,
    **unknown: Never,
) -> Callable[[Function], Function]:
    """Connect a function to one signal or several, strongly and once.

    Args:
        signal: a signal, or a list of signals.
        sender: a model or its ``"app_label.Model"``; for a custom signal, the object that sends it.
        after_commit: call the function after the commit, and never after a rollback. It gets
            ``pk`` instead of ``instance``. An exception is logged. Without a transaction the
            function runs at once, in the middle of ``save()``.
        raw: call the function for fixtures too (``loaddata`` sends ``raw``).
        include_subclasses: listen to proxies and children of the model too. The deletion of a
            child with its own table calls the function once, for the parent.
        mutable: False for a receiver that ``mute`` must not switch off.

    Raises:
        ImproperlyConfigured: for a receiver that could not work. The message says what to write.
    """
    if unknown:
        raise ImproperlyConfigured(f"@receiver has no option {', '.join(unknown)}; leave it out.")
    signals: list[Any] = list(signal) if isinstance(signal, (list, tuple)) else [signal]
    if not signals or not all(isinstance(one, Signal) for one in signals):
        raise ImproperlyConfigured(f"@receiver needs a signal or a list of them, not {signal!r}.")

    def connect(function: Function) -> Function:
        how = Connected(_undecorated(function), after_commit, raw, mutable, include_subclasses)
        return cast(Function, _connect_to(signals, sender, how))

    return connect


def mute(*targets: object) -> Block[tuple[object, ...]]:
    """Skip receivers inside the block, in this thread or coroutine only.

    Receivers with ``mutable=False`` still run, and so do calls that already wait for the commit.

    Args:
        targets: receivers, or senders for which all receivers are skipped. A string is the
            ``"app_label.Model"`` of one. Receivers with ``include_subclasses`` skip subclasses too.

    Raises:
        TypeError: for a signal, a list, or a function that ``mute`` cannot switch off.
        LookupError, ValueError: for a string that names no model.
    """
    for target in targets:
        how = connected(target)
        is_no_sender = inspect.isroutine(target) or isinstance(target, Signal | list | tuple)
        if is_no_sender and not (how and how.mutable):
            raise TypeError(f"{target!r} cannot be muted; give a sender or a mutable @receiver.")
    return Block(_muted, lambda: tuple(map(_undecorated, targets)))


def connected(target: Any) -> Connected | None:
    """Return how ``receiver`` connected a function, or None for any other object."""
    how = vars(target).get("connected") if inspect.isfunction(target) else None
    # A decorator around a receiver copies its attributes.
    return how if how is not None and target.__wrapped__ is how.function else None


def _undecorated(target: Any) -> Any:
    """Return the function of a receiver, or the model of a label."""
    if isinstance(target, str):
        return apps.get_model(*make_model_tuple(target))
    how = connected(target)
    return target if how is None else how.function


def _connect_to(signals: list[Signal], sender: Any, how: Connected) -> Receiver:
    if not inspect.isfunction(how.function):
        # Django's send_robust cannot log the exception of anything else.
        raise ImproperlyConfigured(f"Receiver {how.function!r} must be a plain function.")
    for one in signals:
        _refuse(how, mistakes.of_function(how.function, one, how.after_commit))
        _refuse(how, mistakes.of_sender(one, sender))
        if mistakes.is_model(sender):
            _refuse_model(how, one, sender)
    handler = _handler(how)
    for one in signals:
        connect = _connect_family if isinstance(one, ModelSignal) else _connect
        connect(one, handler, how, sender)
    return handler


def _refuse(how: Connected, found: Iterator[str]) -> None:
    for mistake in found:
        raise ImproperlyConfigured(f"Receiver {how.path} {mistake}")


def _refuse_model(how: Connected, signal: Signal, model: type[Model]) -> None:
    _refuse(how, mistakes.of_model(signal, model, how.include_subclasses))
    _unchecked.append((how, mistakes.of_links(signal, model)))
    if apps.models_ready:
        check_links()


def check_links() -> None:
    """Refuse receivers of ``m2m_changed`` with a wrong model, once all models are loaded."""
    while _unchecked:
        _refuse(*_unchecked.pop())


def _handler(how: Connected) -> Receiver:
    """Wrap a receiver, so that it skips fixtures and muted blocks and can wait for the commit."""
    function, path, after_commit = how.function, how.path, how.after_commit
    skips_fixtures = not how.raw
    is_async = inspect.iscoroutinefunction(function)

    def is_muted(sender: Any) -> bool:
        parents = getattr(sender, "__mro__", ()) if how.include_subclasses else ()
        found = (function, sender, *parents)
        muted = (one for _, targets in _muted.get() for one in targets)
        return how.mutable and any(one is each for one in muted for each in found)

    # This runs at every dispatch, so it makes as few calls as possible.
    @wraps(function)
    def handler(sender: Any, **named: Any) -> Any:
        if (skips_fixtures and named.get("raw")) or (_muted.get() and is_muted(sender)):
            return sleep(0) if is_async else None  # a coroutine that does nothing
        if after_commit:
            return _call_after_commit(how, sender, named)
        if watch.watcher is not None:
            return watch.watcher.run(function, path, sender, named)
        return function(sender=sender, **named)

    handler.connected = how  # type: ignore[attr-defined]
    return inspect.markcoroutinefunction(handler) if is_async else handler


def _call_after_commit(how: Connected, sender: Any, named: dict[str, Any]) -> None:
    if isinstance(named.get("instance"), Model):
        # A deletion sets the key to None before the commit.
        named["pk"] = named.pop("instance").pk
    if named.get("pk_set") is not None:
        named["pk_set"] = frozenset(named["pk_set"])
    if named.get("signal") is bulk_created:
        del named["instances"]

    def call() -> None:
        if watch.watcher is not None:
            watch.watcher.run(how.function, how.path, sender, named, after_commit=True)
        else:
            how.function(sender=sender, **named)

    # Django logs an exception with this name.
    call.__qualname__ = how.path
    transaction.on_commit(call, using=named.get("using", DEFAULT_DB_ALIAS), robust=True)


def _connect_family(signal: Signal, handler: Receiver, how: Connected, sender: Any) -> None:
    """Connect to a model, and to its subclasses if asked, as soon as they are defined."""

    def connect(model: type[Model]) -> None:
        if isinstance(sender, str):
            _refuse_model(how, signal, model)
        if not how.include_subclasses:
            _connect(signal, handler, how, model)
            return

        def join(sender: type[Model], **kwargs: Any) -> None:
            if issubclass(sender, model) and not (
                signal in (pre_delete, post_delete) and _is_deleted_with_a_parent(sender, model)
            ):
                _connect(signal, handler, how, sender)

        family = [model]
        for member in family:
            family.extend(each for each in member.__subclasses__() if each not in family)
            join(member)
        class_prepared.connect(join, weak=False, dispatch_uid=(id(signal), how.path, str(sender)))

    if isinstance(sender, str):
        # Django's check shows this name if the model does not exist.
        connect.__qualname__ = f"{how.path} at {_place(how.function)}"
        apps.lazy_model_operation(connect, make_model_tuple(sender))
    else:
        connect(sender)


def _is_deleted_with_a_parent(member: type[Model], model: type[Model]) -> bool:
    """Return whether a deletion sends the signal for a parent with another table as well."""
    return any(
        issubclass(parent, model) and parent._meta.concrete_model is not member._meta.concrete_model
        for parent in member._meta.all_parents
    )


def _connect(signal: Signal, handler: Receiver, how: Connected, sender: Any) -> None:
    code = inspect.unwrap(how.function).__code__
    dispatch_uid = f"{code.co_filename}:{how.function.__qualname__}"
    key = (id(signal), id(sender), dispatch_uid)
    known = _connections.setdefault(key, how)
    if known is how:
        signal.connect(handler, sender=sender, weak=False, dispatch_uid=dispatch_uid)
        return
    is_same_place = _place(known.function) == _place(how.function)
    imported_again = is_same_place and inspect.unwrap(known.function).__code__ is not code
    if known == how or imported_again:
        return
    remedy = "connect it once" if is_same_place else f"{_place(known.function)} has one; rename one"
    raise ImproperlyConfigured(
        f"Receiver {how.path} is connected twice to one signal; {remedy}, or name another sender."
    )


def _place(function: Receiver) -> str:
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
