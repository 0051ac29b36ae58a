"""Blocks that set a value: for ``with``, and as decorators of functions and coroutines."""

import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any

# Each block that is open, and its value.
type Values[Value] = tuple[tuple[object, Value], ...]


class Block[Value]:
    """Adds a value to a context variable, in this thread or coroutine only.

    Unlike ``contextmanager``, it can be used again and decorate a coroutine.
    """

    def __init__(self, values: ContextVar[Values[Value]], make: Callable[[], Value]) -> None:
        self._values, self._make = values, make

    def __enter__(self) -> None:
        self._values.set((*self._values.get(), (self, self._make())))

    def __exit__(self, *error: object) -> None:
        entered = self._values.get()
        # Another thread or coroutine may close a generator with an open block.
        if entered and entered[-1][0] is self:
            self._values.set(entered[:-1])

    def __call__[Function: Callable[..., Any]](self, function: Function) -> Function:
        inner = inspect.unwrap(function)
        yields = inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)
        if yields or not inspect.isfunction(function):
            raise TypeError(f"{function!r} cannot be decorated; write the block inside of it.")

        async def finish(result: Coroutine[Any, Any, Any]) -> Any:
            with self:
                return await result

        @wraps(function)
        def run(*args: Any, **named: Any) -> Any:
            with self:
                result = function(*args, **named)
            return finish(result) if inspect.iscoroutine(result) else result

        is_async = inspect.iscoroutinefunction(function)
        return inspect.markcoroutinefunction(run) if is_async else run  # type: ignore[return-value]
