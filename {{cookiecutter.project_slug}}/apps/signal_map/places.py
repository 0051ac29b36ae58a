"""Where a function stands, and whether it is the project's own."""

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
    """Where a function stands.

    ``path`` is its dotted path; ``file`` counts from the project's folder, or from that of the
    packages; ``line`` counts from 1 and is 0 when there is none to name.
    """

    path: str
    file: str
    line: int
    is_own: bool

    @property
    def name(self) -> str:
        """The last part of the path, as people would say it."""
        return self.path.rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file or self.path


def function_of(receiver: Any) -> Any:
    """Take off what wraps a function: decorators, ``partial``, a method's instance."""
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
    """Say where the function behind a receiver stands."""
    function = function_of(receiver)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    path = f"{getattr(function, '__module__', None) or 'builtins'}.{name}"
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return Place(path, "", 0, is_own_module(path))
    file, is_own = _file(code.co_filename)
    return Place(path, file, code.co_firstlineno, is_own)


def is_own_module(name: str) -> bool:
    """Say whether a module is the project's own and no installed package's."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return bool(file) and _file(file)[1]


@cache
def _file(filename: str) -> tuple[str, bool]:
    """Shorten the path of a file, and say whether the file is the project's own."""
    path = os.path.realpath(filename)
    # An environment usually lies inside the project's folder.
    for part in ("site-packages", "dist-packages"):
        _, found, rest = path.rpartition(f"{os.sep}{part}{os.sep}")
        if found:
            return rest.replace(os.sep, "/"), False
    root = os.path.realpath(settings.BASE_DIR) + os.sep
    if path.startswith(root) and not path.startswith(os.path.realpath(sys.prefix) + os.sep):
        return path.removeprefix(root).replace(os.sep, "/"), True
    return filename, False
