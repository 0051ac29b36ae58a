"""Files that scripts write, as a whole or between two marks, and whether they are up to date."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path


def between_marks(text: str, name: str, change: Callable[[str], str]) -> str:
    """Change the part of a document between its two marks, which are comments with its name.

    Args:
        text: the document.
        name: the name of the part, as in ``<!-- begin modules: ... -->``.
        change: gets the old text of the part and returns the new one.

    Raises:
        SystemExit: when the document has no such part, or two.
    """
    part = re.compile(rf"(<!-- begin {name}: .*? -->\n)(.*?)(<!-- end {name} -->\n)", re.DOTALL)
    changed, count = part.subn(lambda found: found[1] + change(found[2]) + found[3], text)
    if count != 1:
        raise SystemExit(
            f"There have to be two marks for the part {name}, and there are {2 * count}:"
            f" <!-- begin {name}: make draw writes this part --> and <!-- end {name} -->"
        )
    return changed


def update(root: Path, wanted: Mapping[str, str | None], *, check: bool) -> int:
    """Write files, or only compare them; return the exit status.

    Args:
        root: the folder of the repository.
        wanted: path of each file, relative to the root, and its text; None deletes it.
        check: whether to name what is out of date instead of writing it.
    """
    stale = [file for file, text in wanted.items() if _text_of(root / file) != text]
    for file in stale:
        if check:
            print(f"{file} is out of date: run make draw.")
        else:
            _write(root / file, wanted[file])
            print(f"Wrote {file}.")
    return 1 if check and stale else 0


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
