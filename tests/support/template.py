"""The template as the tests see it: its folders, its registry, its combinations of modules."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache"

# Folders that tools leave behind; in the template's folder they would be baked into every project.
CACHE_FOLDERS = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
PARTS = (
    "cookiecutter.json",
    "hooks",
    "django_signals_extensions.py",
    "django_signals_rules.py",
    "templates",
    "{{cookiecutter.project_slug}}",
)


@dataclass(frozen=True)
class Combination:
    """A choice of modules, in the order of the registry."""

    modules: tuple[str, ...]

    def __str__(self) -> str:
        return "+".join(self.modules) or "none"


@dataclass(frozen=True)
class Template:
    """A template: the repository itself or a copy that a test changes."""

    root: Path

    @property
    def source(self) -> Path:
        """The folder whose content becomes the project."""
        return self.root / "{{cookiecutter.project_slug}}"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The content of cookiecutter.json."""
        data: dict[str, Any] = json.loads(
            (self.root / "cookiecutter.json").read_text(encoding="utf-8")
        )
        return data

    @property
    def registry(self) -> dict[str, dict[str, Any]]:
        """Module name to what the registry says of it."""
        modules: dict[str, dict[str, Any]] = self.settings["_modules"]
        return modules

    @property
    def prompts(self) -> list[str]:
        """The names of the questions."""
        return [name for name in self.settings if not name.startswith("_")]

    def texts_of(self, prompt: str) -> list[str]:
        """The question of a prompt; behind it, if it is a choice, what is said of each."""
        texts: str | dict[str, str] = self.settings["__prompts__"][prompt]
        return [texts] if isinstance(texts, str) else list(texts.values())

    def combinations(self) -> list[Combination]:
        """Every choice of modules, from none to all."""
        return [
            Combination(
                tuple(name for name, chosen in zip(self.registry, row, strict=True) if chosen)
            )
            for row in product([False, True], repeat=len(self.registry))
        ]

    def all_on(self) -> Combination:
        """Return the combination of all modules."""
        return Combination(tuple(self.registry))

    def corners(self) -> list[Combination]:
        """All modules, none, and each one alone."""
        alone = [Combination((name,)) for name in self.registry]
        return [self.all_on(), Combination(()), *alone]

    def files(self) -> set[str]:
        """Every file of the project's source, relative to its folder."""
        return {
            path.relative_to(self.source).as_posix()
            for path in self.source.rglob("*")
            if path.is_file()
        }

    def paths_of(self, module: str) -> list[str]:
        """The folder of a module and its paths elsewhere."""
        return [f"apps/{module}", *self.registry[module].get("paths", [])]

    def left_out(self, combination: Combination) -> list[str]:
        """The paths that a project with this choice of modules does not have."""
        filled = {
            name
            for module in combination.modules
            for name in self.registry[module].get("contributes", {})
        }
        others = [name for name in self.registry if name not in combination.modules]
        return [path for module in others for path in self.paths_of(module)] + [
            path
            for name, setting in self.settings["_settings"].items()
            if name not in filled
            for path in setting.get("paths", [])
        ]

    def environment_variables(self) -> set[str]:
        """Every variable that the settings of a project read."""
        text = (self.source / "config" / "settings.py").read_text(encoding="utf-8")
        return variables_read(text + json.dumps(self.settings).replace('\\"', '"'))


def variables_read(source: str) -> set[str]:
    """List the environment variables that a piece of Python reads."""
    reads = r"""(?:\benv(?:\.\w+)?|\brequired|\bgetenv|\benviron(?:\.\w+)?)[(\[]\s*["']([A-Z][A-Z0-9_]*)["']"""
    return set(re.findall(reads, source))


TEMPLATE = Template(ROOT)
