"""The steps after a receiver: the jobs that it queues and the project's signals that it sends.

They are read from compiled code: the code of the receiver, and of the project's functions that it
calls. A list that people maintain, such as an argument of the decorator, would become out of date.
Jobs and signals that are named by a string, or reached through an instance, are not found.
"""

import dis
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, Literal

from django.dispatch import Signal
from django.tasks import Task

from .live import SignalName
from .places import function_of, is_own_module, place_of

IMPORT: Final = dis.opmap["IMPORT_NAME"]


@dataclass(frozen=True, slots=True)
class Step:
    """A job that a receiver hands off, or a signal that it sends.

    ``path`` is dotted; ``file``, ``line`` and ``summary`` belong to the job's function and are
    empty for a signal.
    """

    kind: Literal["job", "signal"]
    path: str
    file: str = ""
    line: int = 0
    summary: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def steps_of(receiver: Callable[..., Any], names: dict[Signal, SignalName]) -> tuple[Step, ...]:
    """List the jobs and signals of a receiver, in the order of their paths."""
    found: set[Step] = set()
    functions = [function_of(receiver)]
    for function in functions:
        for value in _values_named_in(function):
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            kind = type(value)  # isinstance would evaluate lazy objects
            if issubclass(kind, Signal):
                if (name := names.get(value)) and is_own_module(name.module):
                    found.add(Step("signal", name.path))
            elif issubclass(kind, Task):
                place, summary = place_of(value.func), first_line(value.func)
                found.add(Step("job", value.module_path, place.file, place.line, summary))
            elif kind is FunctionType:
                inner = function_of(value)
                if inner not in functions and place_of(inner).is_own:
                    functions.append(inner)
    return tuple(sorted(found, key=lambda step: (step.kind, step.path)))


def first_line(function: Any) -> str:
    """Return a function's docstring up to its first blank line, as one line."""
    return " ".join((inspect.getdoc(function) or "").strip().partition("\n\n")[0].split())


def _values_named_in(function: Any) -> Iterator[Any]:
    """Yield every value that the code of a function names: globals, closures and imports."""
    if not isinstance(function, FunctionType):  # written in C
        return
    namespace = function.__globals__
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            yield cell.cell_contents
    for code in _codes_in(function.__code__):
        values = [namespace[name] for name in code.co_names if name in namespace]
        for value in [*values, *_imported_in(code, namespace)]:
            yield value
            # ``tasks.send`` and ``Service.send`` are named by two words.
            if isinstance(value, (ModuleType, type)):
                attributes = vars(value)
                yield from (attributes[name] for name in code.co_names if name in attributes)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _imported_in(code: CodeType, namespace: dict[str, Any]) -> Iterator[Any]:
    """Yield the imports inside a function."""
    if IMPORT not in code.co_code[::2]:
        return
    found = [each for each in dis.get_instructions(code) if each.opname != "EXTENDED_ARG"]
    for number, instruction in enumerate(found):
        if instruction.opcode != IMPORT:
            continue
        level, names = (each.argval for each in found[number - 2 : number])
        if not level and not is_own_module(instruction.argval.partition(".")[0]):
            continue  # a package: it knows no job of the project, and may be slow to import
        with suppress(ImportError):
            # A name that each module has, so that ``import a.b`` gives ``a.b`` and not ``a``.
            names = names or ("__name__",)
            module = __import__(instruction.argval, namespace, None, names, level)
            yield module
            yield from (getattr(module, name, None) for name in names)
