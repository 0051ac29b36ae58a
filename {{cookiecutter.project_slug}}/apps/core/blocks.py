"""Blocks that set something aside: for ``with``, and to decorate functions and coroutines."""

import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any

# What the blocks that are open have set, with each block.
type Values[Value] = tuple[tuple[object, Value], ...]


class Block[Value]:
    """Adds a value to those of a context variable, in this thread or coroutine only.

    Unlike what ``contextmanager`` makes, it may be used again, and decorate a coroutine.
    """

    def __init__(self, values: ContextVar[Values[Value]], make: Callable[[], Value]) -> None:
        self._values, self._make = values, make

    def __enter__(self) -> None:
        self._values.set((*self._values.get(), (self, self._make())))

    def __exit__(self, *error: object) -> None:
        entered = self._values.get()
        # A generator may be closed in another thread or coroutine than the block was opened in.
        if entered and entered[-1][0] is self:
            self._values.set(entered[:-1])

    def __call__[Function: Callable[..., Any]](self, function: Function) -> Function:
        inner = inspect.unwrap(function)
        yields = inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)
        if yields or not inspect.isfunction(function):
            raise TypeError(
                f"{function!r} is no function or coroutine: write the block inside, with 'with'."
            )

        async def finish(result: Coroutine[Any, Any, Any]) -> Any:
            with self:
                return await result

        @wraps(function)
        def run(*args: Any, **named: Any) -> Any:
            with self:
                result = function(*args, **named)
            return finish(result) if inspect.iscoroutine(result) else result

        if inspect.iscoroutinefunction(function):
            inspect.markcoroutinefunction(run)
        return run  # type: ignore[return-value]
