"""Context managers that decorate coroutines too."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any


def block[**P](function: Callable[P, Iterator[None]]) -> Callable[P, "Block"]:
    """Do what ``contextmanager`` does, which as a decorator ends before a coroutine has run."""
    make = contextmanager(function)
    return wraps(function)(lambda *args, **named: Block(partial(make, *args, **named)))


class Block:
    """What ``block`` makes: for ``with``, and to decorate a function or a coroutine."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make

    def __enter__(self) -> None:
        self._inside = self._make()
        self._inside.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        return self._inside.__exit__(*error)

    def __call__[Function: Callable[..., Any]](self, function: Function) -> Function:
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(f"{function!r} is a generator: write the block inside, with 'with'.")

        async def run_async(*args: Any, **named: Any) -> Any:
            with self._make():
                return await function(*args, **named)

        def run(*args: Any, **named: Any) -> Any:
            with self._make():
                return function(*args, **named)

        return wraps(function)(run_async if iscoroutinefunction(function) else run)  # type: ignore[return-value]
