"""Whether Python is easy to follow: short functions, and no modules that import in a circle."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

LONGEST = 45  # lines of a function, its signature and docstring included


def long_functions(files: Mapping[str, str]) -> list[str]:
    """List the functions that are longer than they may be.

    Args:
        files: path of each file of Python and its text.
    """
    return [
        f"{file}:{node.lineno}: {node.name} has {length} lines, {LONGEST} at most"
        for file, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST
    ]


def circle(files: Mapping[str, str]) -> list[str]:
    """Return the names of modules that import each other in a circle, or nothing.

    An import inside a function counts, since the modules need each other all the same. One that
    is made for the type checker only does not, since it is never run.

    Args:
        files: path of each file of Python, relative to the folder that imports start from.
    """
    modules = {_name_of(file): file for file in files}
    arrows = {
        name: {target for target in _imported(name, file, files[file], modules) if target != name}
        for name, file in modules.items()
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]  # each imports the next
    return []


def _name_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(name: str, file: str, text: str, modules: Mapping[str, str]) -> Iterator[str]:
    """Yield the modules among those given that a module imports."""
    package = name if file.endswith("/__init__.py") else name.rpartition(".")[0]
    for node in _run(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if whole in modules:
                    yield whole
                elif base in modules:
                    yield base


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over everything that can be run: not over what only the type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from _run(other)
        else:
            yield child
            yield from _run(child)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
