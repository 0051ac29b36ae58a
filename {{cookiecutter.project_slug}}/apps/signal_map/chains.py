"""The steps after a receiver: the jobs that it queues and the project's signals that it sends.

They are read from compiled code: the code of the receiver, and of the project's functions that it
calls. A list that people maintain, such as an argument of the decorator, would become out of date.
Jobs and signals that are named by a string, or reached through an instance, are not found.
"""

import dis
import importlib
import inspect
from collections.abc import Callable, Iterator
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


class Chains:
    """Finds the steps after receivers, and remembers each function that it has searched."""

    def __init__(self, names: dict[Signal, SignalName]) -> None:
        self.names = names
        self._mentioned: dict[FunctionType, tuple[list[Step], list[FunctionType]]] = {}

    def steps_of(self, receiver: Callable[..., Any]) -> tuple[Step, ...]:
        """List the jobs and signals of a receiver, in the order of their paths."""
        function = function_of(receiver)
        queue = [function] if isinstance(function, FunctionType) else []
        found: set[Step] = set()
        for each in queue:
            steps, functions = self._look_through(each)
            found.update(steps)
            queue.extend(further for further in functions if further not in queue)
        return tuple(sorted(found, key=lambda step: (step.kind, step.path)))

    def _look_through(self, function: FunctionType) -> tuple[list[Step], list[FunctionType]]:
        known = self._mentioned.get(function)
        if known is None:
            known = self._mentioned[function] = ([], [])
            for value in _values_named_in(function):
                if isinstance(value, (staticmethod, classmethod)):
                    value = value.__func__
                if issubclass(type(value), Signal):
                    name = self.names.get(value)
                    if name and is_own_module(name.module):
                        known[0].append(Step("signal", name.path))
                elif issubclass(type(value), Task):
                    place = place_of(value.func)
                    summary = first_line(value.func)
                    known[0].append(Step("job", value.module_path, place.file, place.line, summary))
                elif isinstance(value, FunctionType):
                    inner = function_of(value)
                    if isinstance(inner, FunctionType) and place_of(inner).is_own:
                        known[1].append(inner)
        return known


def first_line(function: Any) -> str:
    """Return a function's docstring up to its first blank line, as one line."""
    return " ".join((inspect.getdoc(function) or "").strip().partition("\n\n")[0].split())


def _values_named_in(function: FunctionType) -> Iterator[Any]:
    """Yield every value that the code of a function names: globals, closures and imports."""
    namespace = function.__globals__
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for code in _codes_in(function.__code__):
        values = [namespace[name] for name in code.co_names if name in namespace]
        if IMPORT in code.co_code[::2]:
            values += _imported_in(code, namespace.get("__package__") or "")
        for value in values:
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


def _imported_in(code: CodeType, package: str) -> list[Any]:
    """List the imports inside a function."""
    values: list[Any] = []
    instructions = list(dis.get_instructions(code))
    for number, instruction in enumerate(instructions):
        if instruction.opname != "IMPORT_NAME" or number < 2:
            continue
        level, names = (each.argval for each in instructions[number - 2 : number])
        if not isinstance(level, int):
            continue
        if not level and not is_own_module(instruction.argval.partition(".")[0]):
            continue  # a package: it knows no job of the project, and may be slow to import
        path = "." * level + instruction.argval
        module = _imported(path, package)
        values.append(module)
        for name in names or ():
            if not hasattr(module, name):
                _imported(f"{path.rstrip('.')}.{name}", package)
            values.append(getattr(module, name, None))
    return values


def _imported(path: str, package: str) -> ModuleType | None:
    try:
        return importlib.import_module(path, package)
    except ImportError:
        return None
