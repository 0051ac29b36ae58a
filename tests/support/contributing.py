"""Adds a module to a template, as CONTRIBUTING.md says, to the letter.

A file to write is a paragraph that reads File: and its path in backticks, followed by
a fenced block with its content. The one fenced block of JSON is merged into
cookiecutter.json: tables entry by entry, and a new answer below the answers there are.
"""

import json
import re
import shutil
from dataclasses import dataclass
from typing import Any

from tests.support.markdown import Document
from tests.support.template import Template

FILE = re.compile(r"File: `(.+)`")


@dataclass(frozen=True)
class Addition:
    """An addition to the template: files, and entries of cookiecutter.json."""

    files: dict[str, str]
    changes: dict[str, Any]

    @property
    def module(self) -> str:
        """The name of the module that is added."""
        (name,) = self.changes["_modules"]
        return str(name)

    def add_to(self, template: Template) -> None:
        """Write the files, and merge the entries."""
        for path, content in self.files.items():
            target = template.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            assert not target.exists(), f"{path} exists already"
            target.write_text(content, encoding="utf-8")
        change_settings(template, merge(template.settings, self.changes))


def addition_of(document: Document) -> Addition:
    """Return what a document has one add."""
    (block,) = [fence.text for fence in document.fences() if fence.language == "json"]
    return Addition(files_to_write(document), json.loads(block))


def files_to_write(document: Document) -> dict[str, str]:
    """Return path to content of every file that the document has one write."""
    found = {}
    tokens = document.tokens
    for number, token in enumerate(tokens):
        file = FILE.fullmatch(token.content) if token.type == "inline" else None
        if file:
            fence = tokens[number + 2]  # after the end of the paragraph
            assert fence.type == "fence", f"{file[1]} is not followed by a block with its content"
            found[file[1]] = fence.content
    return found


def commands_to_run(document: Document) -> list[str]:
    """Return the commands of the last step, one a line."""
    step = document.text.partition("\n### 3. ")[2].partition("\n## ")[0]
    (block,) = [fence.text for fence in Document(step).fences() if fence.language == "console"]
    return block.splitlines()


def take_out(template: Template, module: str) -> None:
    """Take a module out of a template, if it has it: for a repository that followed the steps."""
    if module not in template.registry:
        return
    for path in template.paths_of(module):
        target = template.source / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    settings = template.settings
    for table in (settings, settings["__prompts__"], settings["_modules"]):
        del table[module]
    change_settings(template, settings)


def change_settings(template: Template, settings: dict[str, Any]) -> None:
    """Write cookiecutter.json, and let the template read it again."""
    path = template.root / "cookiecutter.json"
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    template.__dict__.pop("settings", None)


def merge(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge tables, the new entries of each below those that are there."""
    tables = {
        name: {**value, **changes[name]} if name in changes else value
        for name, value in old.items()
        if name.startswith("_")
    }
    answers = {name: value for name, value in old.items() if not name.startswith("_")}
    added = {name: value for name, value in changes.items() if not name.startswith("_")}
    return {**answers, **added, **tables}
