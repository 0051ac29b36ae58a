"""The documents of the taskboard, whose links name a piece of code and the line where it starts."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings

README: Final = Path(__file__).parents[2] / "README.md"
LEARNING_PATH: Final = settings.BASE_DIR / "docs" / "learning-path.md"
DOCUMENTS: Final = [README, LEARNING_PATH]
# The folder to update, which may be that of the template: it has the same code in the same lines.
UPDATED: Final = os.environ.get("UPDATE_DOCUMENTS", "")
HOW: Final = "To mend it: UPDATE_DOCUMENTS=$PWD uv run pytest apps/taskboard/tests/deep"

# For example [`complete`](services.py#L30)
CODE_LINK: Final = re.compile(
    r"\[`(?P<name>[\w.]+)(?:\(\))?`\]\((?P<path>[\w./-]+\.py)#L(?P<line>\d+)\)"
)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


def with_right_lines(document: Path, text: str) -> str:
    """Return the text with the line of every link to code as it is now.

    Raises:
        LookupError: when a file does not define what the link names.
    """

    def right(link: re.Match[str]) -> str:
        line = line_of((document.parent / link["path"]).resolve(), link["name"])
        return re.sub(r"#L\d+", f"#L{line}", link[0])

    return CODE_LINK.sub(right, text)


def to_update(document: Path) -> Path:
    """Return the same document in the folder that ``UPDATE_DOCUMENTS`` names."""
    return Path(UPDATED) / document.relative_to(settings.BASE_DIR)


def line_of(file: Path, name: str) -> int:
    """Return the line where a file starts to define a name, such as ``Task.save``."""
    nodes = list(ast.parse(file.read_text(encoding="utf-8")).body)
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in nodes if part in _defined(node)), None)
        if found is None:
            raise LookupError(f"{file} does not define {name}.")
        nodes = list(getattr(found, "body", []))
    assert found
    decorators: list[ast.expr] = getattr(found, "decorator_list", [])
    return min([found.lineno, *(each.lineno for each in decorators)])


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def rows(text: str, head: str) -> list[list[str]]:
    """Return the cells of the table whose first line is ``head``."""
    _, found, rest = text.partition(f"{head}\n")
    assert found, f"There is no table with the head {head}"
    lines = rest.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
