"""Count the Python that the owner of a project has: physical lines, as ``wc -l`` counts them.

It bakes a project with no module, with each alone and with all, and prints the table of the
README. ``--write`` writes that table and the line in the README of each module; ``make draw``
does so. ``--check`` compares: exit status 1 when one is out of date.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.throwaway import bake  # noqa: E402
from scripts.written import between_marks, update  # noqa: E402

README: Final = "README.md"
APPS: Final = "{{cookiecutter.project_slug}}/apps"
SENTENCE: Final = re.compile(r"^Lines of Python: .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Lines:
    """Lines of Python, by what they are for."""

    source: int
    migrations: int
    tests: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.source + self.migrations + self.tests


def counted(files: Mapping[str, str]) -> Lines:
    """Count the lines of a project or of a part of it.

    Args:
        files: path of each file, relative to the folder, and its text.
    """
    lines = {"source": 0, "migrations": 0, "tests": 0}
    for file, text in files.items():
        if file.endswith(".py"):
            lines[kind(PurePosixPath(file))] += text.count("\n")
    return Lines(**lines)


def kind(file: PurePosixPath) -> str:
    """Say what a file of Python is for."""
    if "tests" in file.parts[:-1] or file.name == "conftest.py":
        return "tests"
    return "migrations" if "migrations" in file.parts[:-1] else "source"


def files_of(folder: Path) -> dict[str, str]:
    """Return the path and the text of every file of Python in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.py")
    }


def table(modules: Mapping[tuple[str, ...], Lines]) -> str:
    """Write the table of the README.

    Args:
        modules: what was counted for each choice of modules, the first of which is none.
    """
    least, most = modules[()], max(map(len, modules))
    rows = [
        "| Modules | Source | Migrations | Tests | Total | More than none |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for chosen, lines in modules.items():
        name = "all" if len(chosen) == most else ", ".join(f"`{each}`" for each in chosen)
        numbers = [*astuple(lines), lines.total, lines.total - least.total]
        rows.append(f"| {' | '.join([name or 'none', *(f'{each:,}' for each in numbers)])} |")
    return "\n".join(["", *rows, "", ""])


def with_sentence(readme: str, lines: Lines) -> str:
    """Write into the README of a module how many lines it has, below its first paragraph."""
    sentence = (
        f"Lines of Python: {lines.source:,} source, {lines.migrations:,} migrations,"
        f" {lines.tests:,} tests.\n"
    )
    if SENTENCE.search(readme):
        return SENTENCE.sub(sentence, readme, count=1)
    title, first, *rest = readme.rstrip("\n").split("\n\n", 2)
    return "\n\n".join([title, first, sentence.rstrip("\n"), *rest]) + "\n"


def documents(root: Path, modules: Mapping[tuple[str, ...], Lines]) -> dict[str, str]:
    """Return the path and the text of each document that names numbers of lines."""
    text = (root / README).read_text(encoding="utf-8")
    found = {README: between_marks(text, "lines", lambda _: table(modules))}
    for path in sorted((root / APPS).glob("*/README.md")):
        # As they are in a project: what a test file is called there depends on its folder.
        lines = counted(files_of(path.parent))
        name = path.relative_to(root).as_posix()
        found[name] = with_sentence(path.read_text(encoding="utf-8"), lines)
    return found


def choices(root: Path) -> list[tuple[str, ...]]:
    """Return the choices of modules that are counted: none, each alone, all."""
    settings = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    modules = tuple(settings["_modules"])
    return [(), *((name,) for name in modules), modules]


def measured(root: Path, chosen: tuple[str, ...]) -> Lines:
    """Bake a project with these modules and count its lines."""
    with tempfile.TemporaryDirectory() as folder:
        return counted(files_of(bake(root, Path(folder), chosen)))


def main() -> int:
    """Print, write or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the READMEs")
    parser.add_argument("--check", action="store_true", help="compare the READMEs")
    parser.add_argument("--root", type=Path, default=ROOT, help="the template (this one)")
    options = parser.parse_args()
    every = choices(options.root)
    with ThreadPoolExecutor(2) as pool:
        counts = pool.map(lambda each: measured(options.root, each), every)
        found = dict(zip(every, counts, strict=True))
    if options.write or options.check:
        return update(options.root, documents(options.root, found), check=options.check)
    print(table(found).strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
