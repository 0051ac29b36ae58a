"""The documents of the taskboard, whose links name a piece of code and its line."""

import os
import re
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


def to_update(document: Path) -> Path:
    """Return the same document in the folder that ``UPDATE_DOCUMENTS`` names."""
    return Path(UPDATED) / document.relative_to(settings.BASE_DIR)


def rows(text: str, head: str) -> list[list[str]]:
    """Return the cells of the table whose first line is ``head``."""
    _, found, rest = text.partition(f"{head}\n")
    assert found, f"There is no table with the head {head}"
    lines = rest.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
