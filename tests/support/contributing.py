"""Does what CONTRIBUTING.md says, to the letter, to a copy of the template.

A file to write is a paragraph that reads File: and its path in backticks, followed by
a fenced block with its content. The one fenced block of JSON is merged into
cookiecutter.json: tables entry by entry, and a new answer below the answers there are.
"""

import json
import re
from typing import Any

from tests.support.markdown import Document
from tests.support.template import Template

FILE = re.compile(r"File: `(.+)`")


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


def registry_changes(document: Document) -> dict[str, Any]:
    """Return what the document has one add to cookiecutter.json."""
    (block,) = [fence.text for fence in document.fences() if fence.language == "json"]
    changes: dict[str, Any] = json.loads(block)
    return changes


def follow(document: Document, template: Template) -> list[str]:
    """Change the template as the document says; return the names of the modules it adds."""
    for path, content in files_to_write(document).items():
        target = template.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        assert not target.exists(), f"{path} exists already"
        target.write_text(content, encoding="utf-8")
    changes = registry_changes(document)
    merged = merge(template.settings, changes)
    (template.root / "cookiecutter.json").write_text(json.dumps(merged), encoding="utf-8")
    template.__dict__.pop("settings")  # it was read before the change
    return list(changes["_modules"])


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
