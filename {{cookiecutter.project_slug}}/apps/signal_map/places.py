"""The file and line of a function, and whether it belongs to the project."""

import inspect
import os
import sys
from dataclasses import dataclass
from functools import cache, partial
from types import CodeType
from typing import Any

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Place:
    """The file and line of a function.

    ``path`` is its dotted path. ``file`` is relative to the project's folder, or to the folder of
    the packages. ``line`` starts at 1, and is 0 when it is unknown.
    """

    path: str
    file: str
    line: int
    is_own: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file or self.path


def function_of(receiver: Any) -> Any:
    """Unwrap a function: remove decorators, ``partial`` and the instance of a method."""
    while True:
        if isinstance(receiver, partial):
            receiver = receiver.func
        elif inspect.ismethod(receiver):
            receiver = receiver.__func__
        elif hasattr(receiver, "__wrapped__"):
            receiver = inspect.unwrap(receiver)
        else:
            break
    if not hasattr(receiver, "__code__") and not inspect.isroutine(receiver):
        call = getattr(type(receiver), "__call__", None)  # noqa: B004 (its code, not whether it is there)
        return call if hasattr(call, "__code__") else receiver
    return receiver


def place_of(receiver: Any) -> Place:
    """Return the place of the function of a receiver."""
    function = function_of(receiver)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    path = f"{getattr(function, '__module__', None) or 'builtins'}.{name}"
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return Place(path, "", 0, is_own=False)
    file, is_own = _file(code.co_filename)
    return Place(path, file, code.co_firstlineno, is_own)


def is_own_module(name: str) -> bool:
    """Return whether a module belongs to the project, not to an installed package."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return bool(file) and _file(file)[1]


@cache
def _file(filename: str) -> tuple[str, bool]:
    """Shorten the path of a file; return also whether the file belongs to the project."""
    path = os.path.realpath(filename)
    # An environment is usually inside the project's folder.
    for part in ("site-packages", "dist-packages"):
        _, found, rest = path.rpartition(f"{os.sep}{part}{os.sep}")
        if found:
            return rest.replace(os.sep, "/"), False
    root = os.path.realpath(settings.BASE_DIR) + os.sep
    if path.startswith(root) and not path.startswith(os.path.realpath(sys.prefix) + os.sep):
        return path.removeprefix(root).replace(os.sep, "/"), True
    return filename, False
