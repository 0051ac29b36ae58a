"""A page for each module, made of its README and its registry entry."""

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

PROJECT: Final = "{{cookiecutter.project_slug}}"
# Comes with every project and so has no entry in the registry.
KIT: Final = "core"
LINK: Final = re.compile(r"(?<=\]\()[^()<>\s]+(?=\))")
FENCE: Final = re.compile(r"^(```|~~~)")


def pages(root: Path, registry: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the file name of each page with its text."""
    entries = {KIT: None, **registry}
    return {f"{name}.md": page(root, name, entry, list(entries)) for name, entry in entries.items()}


def page(root: Path, name: str, entry: dict[str, Any] | None, modules: list[str]) -> str:
    """Write the page of a module.

    Raises:
        SystemExit: when its README does not begin with a title.
    """
    readme = f"{PROJECT}/apps/{name}/README.md"
    title, _, rest = (root / readme).read_text(encoding="utf-8").partition("\n")
    if not title.startswith("# "):
        sys.exit(f"{readme} does not begin with a title.")
    facts = "\n".join(f"| {fact} | {value} |" for fact, value in facts_of(name, entry))
    head, _, others = facts.partition("\n")
    return (
        f"<!-- Written by scripts/write_documents.py from {readme} -->\n\n"
        f"{title}\n\n{head}\n|---|---|\n{others}\n{moved(rest, name, modules)}"
    )


def facts_of(name: str, entry: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Say how a project gets the module, and what comes with it besides its folder."""
    yield "Module", f"[`{name}`](<{up(f'apps/{name}')}>)"
    if entry is None:
        yield "In a project", "always"
        return
    yield "What it does", entry["summary"]
    yield "Listens to", entry["listens_to"]
    yield "In a new project", f"`uvx cookiecutter . --no-input {name}=yes`"
    yield "Later", f"`uvx cruft update --variables-to-update '{{\"{name}\": true}}'`"
    yield from (
        (fact, ", ".join(f"`{value}`" for value in values))
        for fact, values in [
            ("Pages at", [f"/{entry['url']}"] if "url" in entry else []),
            ("Settings", entry.get("settings", [])),
            ("Environment", entry.get("environment", [])),
            ("Packages", [unpinned(pin) for pin in entry.get("dependencies", [])]),
            ("Development packages", [unpinned(pin) for pin in entry.get("development", [])]),
            ("Servers in containers", entry.get("compose", [])),
            ("Processes", entry.get("processes", [])),
        ]
        if values
    )
    if entry.get("paths"):
        links = (f"[`{path}`](<{up(path)}>)" for path in entry["paths"])
        yield "Reading on", ", ".join(links)


def unpinned(requirement: str) -> str:
    """Leave out the version, or each new one would be a change of the page."""
    return requirement.partition("==")[0]


def up(path: str) -> str:
    """Lead from a page to a file of the project."""
    return f"../../{PROJECT}/{path}"


def moved(text: str, name: str, modules: list[str]) -> str:
    """Let the relative links of a module's README lead to the same files from its page.

    A link to the README of another module leads to that module's page.
    """

    def target(link: re.Match[str]) -> str:
        parts = urlsplit(link[0])
        if parts.scheme or not parts.path:
            return link[0]
        path = posixpath.normpath(f"apps/{name}/{parts.path}")
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        readme = re.fullmatch(r"apps/(\w+)/README\.md", path)
        if readme and readme[1] in modules:
            return f"{readme[1]}.md{anchor}"
        return f"<{up(path)}{anchor}>"

    lines, in_code = [], False
    for line in text.splitlines(keepends=True):
        if FENCE.match(line):
            in_code = not in_code
        lines.append(line if in_code else LINK.sub(target, line))
    return "".join(lines)
