"""Write what the documents say of the modules and of their code.

The lines in links to code are those of the code. docs/modules/, README.md and the workflow are made
of the registry and of the modules' READMEs. ``make draw`` runs this after a change of any of them;
``--check`` compares: exit status 1 when a document is out of date.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.code_links import linked  # noqa: E402
from scripts.module_pages import pages  # noqa: E402
from scripts.written import between_marks, update  # noqa: E402

Registry = dict[str, dict[str, Any]]

PROJECT: Final = "{{cookiecutter.project_slug}}"
PAGES: Final = "docs/modules"
README: Final = "README.md"
# The row of the table of modules for the apps that every project has.
ALWAYS: Final = "In every project: a kit for receivers; the user model with sign-up and login."
WORKFLOW: Final = ".github/workflows/ci.yml"
# The options of a command that chooses modules.
CHOICES: Final = re.compile(r"\w+=yes(?: \w+=yes)+")
ROW: Final = re.compile(r"^│   [├└]── \w+/ +chosen.*\n", re.MULTILINE)


def main() -> int:
    """Write or check the documents; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the template (this one)")
    options = parser.parse_args()
    # First, because the pages of the modules are made of these.
    stale = update(options.root, linked(options.root, PROJECT), check=options.check)
    return update(options.root, documents(options.root), check=options.check) or stale


def documents(root: Path) -> dict[str, str | None]:
    """Return the path of each document that is written here with its text, None for a spare one."""
    settings = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    registry: Registry = settings["_modules"]
    spare = {path.name: None for path in (root / PAGES).glob("*.md")}
    found = {f"{PAGES}/{name}": text for name, text in {**spare, **pages(root, registry)}.items()}
    found[README] = readme((root / README).read_text(encoding="utf-8"), registry)
    found[WORKFLOW] = workflow((root / WORKFLOW).read_text(encoding="utf-8"), registry)
    return found


def readme(text: str, registry: Registry) -> str:
    """Write the table of modules, the command for all of them and the rows of the tree."""
    text = between_marks(text, "modules", lambda _: table(registry, lines(text)))
    text = between_marks(text, "commands", lambda old: CHOICES.sub(choices(registry), old, count=1))
    return between_marks(text, "tree", lambda old: tree(old, registry))


def lines(text: str) -> dict[str, tuple[str, str]]:
    """Read the table of lines in the README: each choice of modules, its total and the difference.

    what_you_own.py writes that table.
    """
    rows = re.findall(r"^\| `?(\w+)`? \|.* ([\d,]+) \| ([\d,]+) \|$", text, re.MULTILINE)
    return {name: (total, more) for name, total, more in rows}


def table(registry: Registry, owned: dict[str, tuple[str, str]]) -> str:
    """Write the table of modules, each with the lines that it adds to a project.

    Raises:
        SystemExit: when the table of lines lacks a row.
    """
    if lost := {"none", *registry} - owned.keys():
        raise SystemExit(f"The README has no row of lines for {min(lost)}: run make draw.")
    always = (f"[`core`]({PAGES}/core.md), `accounts`", ALWAYS, owned["none"][0])
    chosen = [
        (f"[`{name}`]({PAGES}/{name}.md)", entry["summary"], f"+ {owned[name][1]}")
        for name, entry in registry.items()
    ]
    rows = [f"| {' | '.join(row)} |" for row in (always, *chosen)]
    return "\n".join(
        ["", "| Module | What it does | Lines you own |", "|---|---|---:|", *rows, "", ""]
    )


def tree(text: str, registry: Registry) -> str:
    """Write the rows of the modules where the first of them is now.

    Raises:
        SystemExit: when the tree has no such row.
    """
    found = ROW.search(text)
    if not found:
        raise SystemExit("The tree of the README has no row of a module: │   ├── name/  chosen")
    *others, last = [f"── {f'{name}/':<17} chosen\n" for name in registry]
    rows = "".join([*(f"│   ├{row}" for row in others), f"│   └{last}"])
    return text[: found.start()] + rows + ROW.sub("", text[found.end() :])


def workflow(text: str, registry: Registry) -> str:
    """Write the modules into the steps that choose them all.

    Windows lacks what processes of a project need, so its steps leave out modules that have some.
    """
    portable = {name: entry for name, entry in registry.items() if "processes" not in entry}
    jobs = re.split(r"(?m)^(?=  \w+:$)", text)
    return "".join(
        CHOICES.sub(choices(portable if "windows-" in job else registry), job) for job in jobs
    )


def choices(registry: Registry) -> str:
    """Write the options that choose every module of a registry."""
    return " ".join(f"{name}=yes" for name in registry)


if __name__ == "__main__":
    sys.exit(main())
