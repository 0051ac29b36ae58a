"""Write templates/signal_map.md, from which the docs/signals.md of every project is made.

``make draw`` runs this after a change of any receiver of the template. It bakes the project with
all modules and asks it, so that a bake does not have to. ``--python`` names an interpreter that
has the packages of that project already.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.throwaway import bake, installed, run  # noqa: E402

# Runs in the project. A line that speaks of nothing in particular is always there.
ASK: Final = """
import json
import django
django.setup()
from apps.signal_map.document import documented, lines
from apps.signal_map.entries import read_entries
print(json.dumps([[line.text, line.about] for line in lines(documented(read_entries()))]))
"""


def main() -> None:
    """Bake, ask and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the template (this one)")
    parser.add_argument("--python", type=Path, help="an interpreter with the project's packages")
    options = parser.parse_args()

    path = options.root / "templates" / "signal_map.md"
    settings = json.loads((options.root / "cookiecutter.json").read_text(encoding="utf-8"))
    modules = list(settings["_modules"])
    path.parent.mkdir(exist_ok=True)
    path.touch()  # the bake includes it
    with tempfile.TemporaryDirectory() as folder:
        project = bake(options.root, Path(folder), modules)
        found = lines(project, options.python or installed(project))
    path.write_text(template_of(found, modules), encoding="utf-8")
    print(f"{path.relative_to(options.root)} is written from {len(found)} lines.")


def lines(project: Path, python: Path) -> list[tuple[str, list[str]]]:
    """Ask a project for the lines of its list of receivers, and what each speaks of."""
    said = run([str(python), "-c", ASK], project)
    found: list[tuple[str, list[str]]] = json.loads(said)
    return found


def template_of(found: list[tuple[str, list[str]]], modules: list[str]) -> str:
    """Write the template: each line under the condition that its modules are chosen.

    A line that several things share is written once: at the first of them that is there.

    Raises:
        SystemExit: for a line that Jinja would interpret.
    """
    text: list[str] = []
    condition = ""
    said: dict[str, list[str]] = {}
    for line, about in found:
        if any(mark in line for mark in ("{{", "{%", "{#")):
            sys.exit(f"A line holds a mark of Jinja: {line}")
        this = ""
        if about:
            needed = " and ".join(f"cookiecutter.{module}" for module in needs(about, modules))
            earlier = said.setdefault(line, [])
            this = " and ".join([needed or "true", *(f"not ({each})" for each in earlier)])
            this = "" if this == "true" else this.removeprefix("true and ")
            earlier.append(needed or "true")
        if this != condition:
            text += ["{% endif %}"] if condition else []
            text += [f"{{% if {this} %}}"] if this else []
            condition = this
        text.append(line)
    return "\n".join([*text, *(["{% endif %}"] if condition else []), ""])


def needs(about: list[str], modules: list[str]) -> list[str]:
    """List the modules whose apps or models a line speaks of."""
    return [
        module
        for module in modules
        if any(re.match(rf"(?:apps\.|app )?{module}(?:\.|$)", name) for name in about)
    ]


if __name__ == "__main__":
    main()
