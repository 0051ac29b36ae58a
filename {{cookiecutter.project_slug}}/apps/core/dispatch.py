"""Connecting receivers to signals so that the classic mistakes cannot happen.

``receiver`` takes the place of ``django.dispatch.receiver``; the decorated
function stays an ordinary receiver. ``mute`` switches receivers off in a block.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Final, Literal

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model
from django.db.models.signals import ModelSignal, class_prepared, post_delete, pre_delete
from django.db.models.utils import make_model_tuple
from django.dispatch import Signal
from django.utils.inspect import func_accepts_kwargs

from . import tracing
from .names import sender_label

type Receiver = Callable[..., Any]
# A model signal is sent inside the caller's transaction, if there is one; of other signals only
# the sender knows. Async receivers run after the others, all at the same time.
type Phase = Literal["in transaction", "when sent", "async", "after commit"]

# Functions as they were written, and senders.
_muted: ContextVar[tuple[object, ...]] = ContextVar("muted", default=())


@dataclass(frozen=True, slots=True)
class Connection:
    """One receiver connected to one signal and sender, as ``connections`` lists it.

    ``sender`` is None for every sender; ``line`` counts from 1; ``summary`` is
    the first line of the receiver's docstring.
    """

    signal: Signal
    sender: Any
    receiver: Receiver
    name: str
    phase: Phase
    file: str
    line: int
    summary: str

    @property
    def sender_label(self) -> str:
        """The sender by name: ``"accounts.User"`` for a model, ``"any sender"`` for None."""
        return sender_label(self.sender)


_connections: Final[dict[tuple[int, int, str], Connection]] = {}


def receiver(
    signal: Signal | list[Signal] | tuple[Signal, ...],
    sender: Any = None,
    *,
    after_commit: bool = False,
    raw: bool = False,
    include_subclasses: bool = False,
    mutable: bool = True,
) -> Callable[[Receiver], Receiver]:
    """Connect a function to one signal or several, strongly and once.

    The connection holds a strong reference, so a function made inside another
    one is not garbage-collected, and has a ``dispatch_uid`` made of the
    function's file and name, so a second import, even under another module
    name, does not connect it again.

    Args:
        signal: the signal, or a list of signals, to listen to.
        sender: a model, its ``"app_label.Model"`` string, or what a custom
            signal is sent by. Model signals need one: a receiver without
            sender costs every model of the project its fast deletion.
        after_commit: call the function only when the transaction has been
            committed in the database that the signal names with ``using``, and
            never when it is rolled back. An exception is logged and stops
            neither the request nor other callbacks. The function is given
            ``pk`` instead of ``instance``, which may be stale or gone by then.
            Not for async functions, which nothing would wait for.
        raw: call the function for fixtures too (``loaddata`` sends ``raw``).
        include_subclasses: listen to proxies of the model and to models that
            inherit from it as well. Django itself sends only to the exact class, but for
            the deletion of a child with a table of its own, which it tells of each parent.
            So the function is called once for each object there, with the parent.
        mutable: False for a receiver that ``mute`` must not switch off.

    Raises:
        ImproperlyConfigured: for a receiver that could not work: no signal, not a
            function, no ``**kwargs``, anything but a model as the sender of a model signal, a
            string sender for another signal, an async function on a model signal or after the
            commit, a function that insists on ``instance`` after the commit, or a name that
            another receiver of the same signal, sender and module has already.
    """
    signals = list(signal) if isinstance(signal, (list, tuple)) else [signal]
    if not signals or not all(isinstance(one, Signal) for one in signals):
        raise ImproperlyConfigured(
            f"@receiver needs a signal, or a list of some, and was given {signal!r}. Write for"
            " example @receiver(post_save, sender=settings.AUTH_USER_MODEL)."
        )

    def connect(function: Receiver) -> Receiver:
        function = _as_written(function)
        if not inspect.isfunction(function):
            raise ImproperlyConfigured(
                f"Receiver {function!r} must be a plain function: Django's send_robust fails"
                " to log the exception of anything else."
            )
        uid = f"{function.__module__}.{function.__qualname__}"
        if after_commit:
            _refuse_what_cannot_wait(function, uid)
        for one in signals:
            _refuse_what_cannot_work(one, sender, function, uid)
        handler = _handler(function, uid, after_commit=after_commit, raw=raw, mutable=mutable)
        for one in signals:
            phase = "after commit" if after_commit else phase_of(one, function)
            connect_model = partial(_connect, one, handler, uid, phase, function)
            connect_family = partial(_connect_family, connect_model, one)
            if not isinstance(one, ModelSignal) or sender is None:
                connect_model(sender)
            elif include_subclasses:
                join_uid = (id(one), uid, str(sender))
                _for_model(sender, partial(connect_family, join_uid), function)
            else:
                _for_model(sender, connect_model, function)
        return handler

    return connect


@contextmanager
def mute(*targets: object) -> Iterator[None]:
    """Skip receivers inside the block, in this thread or coroutine only.

    Args:
        targets: receivers connected with ``receiver``, or senders, for which
            all such receivers are skipped; a string is the ``"app_label.Model"`` of one.
            Receivers with ``mutable=False`` and those connected without the kit still run.

    Raises:
        TypeError: for a function that was not connected with ``receiver``, or
            that is not mutable.
        LookupError: for a model that does not exist.
        ValueError: for a string that cannot name a model.

    What is handed to ``transaction.on_commit`` before the block still runs;
    a signal sent inside it is skipped for good.
    """
    for target in targets:
        if inspect.isroutine(target) and not getattr(target, "mutable", False):
            raise TypeError(
                f"{target!r} cannot be muted: it is not a receiver connected with"
                " apps.core.dispatch.receiver, or it is connected with mutable=False."
            )
    found = (
        apps.get_model(*make_model_tuple(one)) if isinstance(one, str) else _as_written(one)
        for one in targets
    )
    token = _muted.set((*_muted.get(), *found))
    try:
        yield
    finally:
        _muted.reset(token)


def signal_names() -> dict[Signal, str]:
    """Name every signal that a module called ``signals`` defines: ``post_save`` and so on."""
    names: dict[Signal, str] = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.endswith("signals"):
            for name, value in vars(module).items():
                if isinstance(value, Signal):
                    names.setdefault(value, name)
    return names


def phase_of(signal: Signal, function: Receiver) -> Phase:
    """Say when a signal calls a receiver that does not wait for the commit."""
    if inspect.iscoroutinefunction(function):
        return "async"
    return "in transaction" if isinstance(signal, ModelSignal) else "when sent"


def connections() -> list[Connection]:
    """List the receivers connected with ``receiver``, in the order of connection."""
    return list(_connections.values())


def _as_written(target: Any) -> Any:
    """Return the function that a receiver was made of, so that decorators can be stacked."""
    function = vars(target).get("receives") if inspect.isfunction(target) else None
    # What another decorator has wrapped around a receiver takes over its attributes.
    return function if function is not None and target.__wrapped__ is function else target


def _refuse_what_cannot_wait(function: Receiver, uid: str) -> None:
    if inspect.iscoroutinefunction(function):
        raise ImproperlyConfigured(
            f"Receiver {uid} is async and cannot wait for the commit, after which nothing awaits"
            " it. Make it a plain function and hand the work off to a job."
        )
    instance = inspect.signature(function).parameters.get("instance")
    if instance is not None and instance.default is instance.empty:
        raise ImproperlyConfigured(
            f"Receiver {uid} asks for the instance, which may be stale or gone after the commit:"
            " with after_commit=True it is given pk instead. Take pk and look the row up."
        )


def _refuse_what_cannot_work(signal: Signal, sender: Any, function: Receiver, uid: str) -> None:
    if not func_accepts_kwargs(function):
        raise ImproperlyConfigured(
            f"Receiver {uid} must accept **kwargs: signals may gain arguments."
        )
    if not isinstance(signal, ModelSignal):
        if isinstance(sender, str):
            raise ImproperlyConfigured(
                f"Receiver {uid} names its sender as the string {sender!r}. Only the signals"
                " in django.db.models.signals resolve strings; pass the sender itself."
            )
        return
    if sender is None:
        raise ImproperlyConfigured(
            f"Receiver {uid} must name a sender, for example sender=settings.AUTH_USER_MODEL:"
            " without one it runs for every model and slows every deletion."
        )
    is_model = isinstance(sender, type) and issubclass(sender, Model)
    if not isinstance(sender, str) and not is_model:
        raise ImproperlyConfigured(
            f"Receiver {uid} names {sender!r} as its sender, which is no model. Name one model"
            " or its 'app_label.Model'; for several connect a receiver to each."
        )
    if inspect.iscoroutinefunction(function):
        raise ImproperlyConfigured(
            f"Receiver {uid} is async, but Django sends model signals synchronously."
            " Make it a plain function and hand the work off to a job."
        )


def _handler(
    function: Receiver, uid: str, *, after_commit: bool, raw: bool, mutable: bool
) -> Receiver:
    """Wrap a receiver: skip fixtures and muted blocks, wait for the commit if asked to."""
    skips_fixtures = not raw

    def is_muted(muted: tuple[object, ...], sender: Any) -> bool:
        return mutable and any(one is function or one is sender for one in muted)

    # What follows runs at every dispatch, so it is written out three times instead of called.
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def handler(sender: Any, **named: Any) -> Any:
            if (skips_fixtures and named.get("raw")) or (
                (muted := _muted.get()) and is_muted(muted, sender)
            ):
                return None
            if tracing.active:
                return await tracing.arun(function, uid, sender, named)
            return await function(sender, **named)

    elif after_commit:

        @wraps(function)
        def handler(sender: Any, **named: Any) -> Any:
            if (skips_fixtures and named.get("raw")) or (
                (muted := _muted.get()) and is_muted(muted, sender)
            ):
                return
            _call_after_commit(function, uid, sender, named)

    else:

        @wraps(function)
        def handler(sender: Any, **named: Any) -> Any:
            if (skips_fixtures and named.get("raw")) or (
                (muted := _muted.get()) and is_muted(muted, sender)
            ):
                return None
            if tracing.active:
                return tracing.run(function, uid, sender, named)
            return function(sender, **named)

    handler.mutable = mutable  # type: ignore[attr-defined]
    handler.receives = function  # type: ignore[attr-defined]
    return handler


def _call_after_commit(function: Receiver, uid: str, sender: Any, named: dict[str, Any]) -> None:
    if isinstance(named.get("instance"), Model):
        # A deletion sets the key to None before the commit comes.
        named["pk"] = named.pop("instance").pk
    if named.get("pk_set") is not None:
        named["pk_set"] = frozenset(named["pk_set"])

    def call() -> None:
        if tracing.active:
            tracing.run(function, uid, sender, named, after_commit=True)
        else:
            function(sender, **named)

    # Django names the callback by this when it logs an exception.
    call.__qualname__ = uid
    transaction.on_commit(call, using=named.get("using", DEFAULT_DB_ALIAS), robust=True)


def _for_model(sender: Any, use: Callable[[Any], None], function: Receiver) -> None:
    """Call ``use`` with the model, as soon as it is loaded when it is named by a string."""
    if not isinstance(sender, str):
        use(sender)
        return

    def connect(model: type[Model]) -> None:
        use(model)

    # Django's check names the operation by this when no such model is ever loaded.
    code = inspect.unwrap(function).__code__
    connect.__qualname__ = (
        f"{function.__module__}.{function.__qualname__} at {code.co_filename}:{code.co_firstlineno}"
    )
    apps.lazy_model_operation(connect, make_model_tuple(sender))


def _connect_family(
    connect_model: Callable[[Any], None],
    signal: Signal,
    join_uid: object,
    model: type[Model],
) -> None:
    """Connect to a model, its subclasses, and subclasses that are defined later."""

    def join(sender: type[Model], **kwargs: Any) -> None:
        if issubclass(sender, model) and not (
            signal in (pre_delete, post_delete) and _is_deleted_with_a_parent(sender, model)
        ):
            connect_model(sender)

    family = [model]
    for member in family:
        family.extend(subclass for subclass in member.__subclasses__() if subclass not in family)
    for member in family:
        join(member)
    class_prepared.connect(join, weak=False, dispatch_uid=join_uid)


def _is_deleted_with_a_parent(member: type[Model], model: type[Model]) -> bool:
    """Whether a deletion tells of a parent with a table of its own too, which is of the family."""
    return any(
        issubclass(parent, model) and parent._meta.concrete_model is not member._meta.concrete_model
        for parent in member._meta.all_parents
    )


def _connect(
    signal: Signal, handler: Receiver, uid: str, phase: Phase, function: Receiver, sender: Any
) -> None:
    code = inspect.unwrap(function).__code__
    dispatch_uid = f"{code.co_filename}:{function.__qualname__}"
    key = (id(signal), id(sender), dispatch_uid)
    known = _connections.get(key)
    if known is not None:
        first = inspect.unwrap(known.receiver)
        same_place = (known.file, known.line) == (code.co_filename, code.co_firstlineno)
        imported_again = same_place and first.__code__ is not code
        if first is not function and not imported_again:
            raise ImproperlyConfigured(
                f"{known.file}:{known.line} and line {code.co_firstlineno} both connect a receiver"
                f" named {uid} to the same signal and sender; Django would drop the second."
                " Rename one."
            )
        return
    signal.connect(handler, sender=sender, weak=False, dispatch_uid=dispatch_uid)
    _connections[key] = Connection(
        signal=signal,
        sender=sender,
        receiver=handler,
        name=uid,
        phase=phase,
        file=code.co_filename,
        line=code.co_firstlineno,
        summary=(inspect.getdoc(function) or "").partition("\n")[0],
    )
