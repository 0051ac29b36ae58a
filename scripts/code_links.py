"""Links from a project's documents to code: each names a definition and the line where it begins.

For example [`complete`](services.py#L30).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CODE_LINK: Final = re.compile(r"\[`(?P<name>[\w.]+)(?:\(\))?`\]\((?P<path>[\w./-]+\.py)#L\d+\)")


def linked(root: Path, source: str) -> dict[str, str]:
    """Return the path of each document that links to code, with its text and the right lines.

    Args:
        root: the folder of the repository.
        source: the folder of the project in it.

    Raises:
        SystemExit: when a link names a file that is not there, or does not define the name.
    """
    found = {}
    for path in sorted((root / source).glob("**/*.md")):
        text = path.read_text(encoding="utf-8")
        if CODE_LINK.search(text):
            found[path.relative_to(root).as_posix()] = with_right_lines(path, text)
    return found


def with_right_lines(document: Path, text: str) -> str:
    """Return the text with the line of every link to code as it is now.

    Raises:
        SystemExit: see ``linked``.
    """

    def right(link: re.Match[str]) -> str:
        file = document.parent / link["path"]
        line = line_of(file, link["name"]) if file.exists() else None
        if line is None:
            raise SystemExit(f"{document}: {link['path']} does not define {link['name']}.")
        return re.sub(r"#L\d+", f"#L{line}", link[0])

    return CODE_LINK.sub(right, text)


def line_of(file: Path, name: str) -> int | None:
    """Return the line where a file begins to define a name, such as ``Task.save``."""
    nodes = list(ast.parse(file.read_text(encoding="utf-8")).body)
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in nodes if part in _defined(node)), None)
        nodes = list(getattr(found, "body", []))
    if found is None:
        return None
    decorators: list[ast.expr] = getattr(found, "decorator_list", [])
    return min([found.lineno, *(each.lineno for each in decorators)])


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name
