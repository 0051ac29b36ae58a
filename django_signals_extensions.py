"""The template's Jinja filters: rules for the answers, loops over the registry, quoting."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cookiecutter.config import get_user_config
from cookiecutter.exceptions import FailedHookException
from cookiecutter.utils import simple_filter
from jinja2 import Environment
from jinja2.ext import Extension

import django_signals_rules

# Counts how often a command of cruft asked for answers: an update does so twice.
ROUNDS = "COOKIECUTTER_DJANGO_SIGNALS_ROUNDS"

# Earlier ones keep the ``yes`` of an answer as text.
LEAST_COOKIECUTTER = (2, 7)

# What cookiecutter takes for a yes or a no, in any case.
YES_OR_NO = frozenset(["1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off"])

MARKDOWN_MARKS = r"\`*_[]<>#&|~$"


class FreshModules(Extension):
    """Makes Python load the modules of this release, not those of an older one.

    ``cruft update`` bakes the old release and then the new one, from the same folder, in one
    process. Python would keep the modules of the old release, and not find a filter that the new
    one adds. So this class is first in ``_extensions`` and must stay there, under this name: the
    copy of the old release removes the modules for the new release.

    It also allows a relative path to the template (``cookiecutter ./template``). Cookiecutter puts
    such a path on ``sys.path`` unchanged. From the folder in which hooks and files are rendered,
    it leads nowhere.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # In place: cookiecutter puts its own list back afterwards.
        sys.path[:] = [str(Path(folder).absolute()) for folder in sys.path]
        for name in (__name__, django_signals_rules.__name__):
            module = sys.modules.pop(name, None)
            # Python would use the compiled old source if the new one has the same length and
            # was written in the same second.
            if module is not None and module.__file__:
                with contextlib.suppress(OSError):
                    Path(importlib.util.cache_from_source(module.__file__)).unlink()
        importlib.invalidate_caches()


class CallGuard(Extension):
    """Refuses what cookiecutter would drop, render or do silently.

    Without the guard, cookiecutter

    - ignores an option that it does not know (``audti=yes``);
    - renders known options as Jinja before any rule of the template sees them;
    - drops every default of the user's configuration below one that it cannot convert;
    - keeps the files of all modules when it may not run the hooks.

    None of that is in the answers, so the guard reads the arguments of the call. A program that
    calls cookiecutter's parts in another way is not checked.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        _refuse_old_cookiecutter(version("cookiecutter"))
        call = _arguments_of_the_call()
        if call.get("accept_hooks") is False:
            raise FailedHookException(
                "--accept-hooks no is refused: a hook of the template takes out the modules that"
                " were not chosen. Read hooks/ first, then bake with --accept-hooks yes"
            )
        if "accept_hooks" in call:  # cruft passes on the options of earlier releases, too
            _refuse_options(call.get("extra_context") or {})
        if "config_file" in call:
            _refuse_defaults(call["config_file"], call["default_config"])


@simple_filter
def usable_slug(suggestion: str) -> str:
    return django_signals_rules.usable_slug(suggestion)


@simple_filter
def accepted(cookiecutter: Mapping[str, Any]) -> str:
    """Pass answers that keep the rules; refuse others before anything is written."""
    _refuse_options(_options_of_cruft())
    sentence = django_signals_rules.refusal(cookiecutter, cookiecutter["_modules"])
    if sentence:
        raise FailedHookException(sentence)
    return "yes"


@simple_filter
def purpose(_: object) -> str:
    """Say what is baked for: a ``project``, or a ``comparison`` in a folder that soon goes."""
    return "comparison" if _command_of_cruft() in ("diff", "update") else "project"


@simple_filter
def recorded(cookiecutter: Mapping[str, Any]) -> str:
    """Write which release and which answers make the project, as a configuration of cookiecutter."""
    answers = {name: cookiecutter[name] for name in _template_json() if not name.startswith("_")}
    content = {"release": cookiecutter["_release"], "default_context": answers}
    return json.dumps(content, ensure_ascii=False, indent=2)


@simple_filter
def chosen_modules(cookiecutter: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """List name and registry entry of each module that was chosen."""
    return _chosen(cookiecutter)


@simple_filter
def module_settings(cookiecutter: Mapping[str, Any]) -> str:
    """Write the settings of the project's jobs and of the chosen modules as Python source.

    A setting with ``items`` is a list. Other chosen modules add to it through their
    ``contributes``. An empty list is left out. A setting with ``lines`` is written unchanged. A
    module's setting replaces the project's setting of the same name.
    """
    settings = dict(cookiecutter["_settings"])
    contributions: list[tuple[str, list[str]]] = []
    for _, module in _chosen(cookiecutter):
        settings |= module.get("settings", {})
        contributions += module.get("contributes", {}).items()
    blocks = []
    for name, setting in settings.items():
        lines = setting.get("lines")
        if lines is None:
            added = [item for to, items in contributions if to == name for item in items]
            items = [f"    {item}," for item in [*setting["items"], *added]]
            if not items:
                continue
            lines = [f"{name} = [", *items, "]"]
        blocks.append("\n".join([f"# {setting['comment']}", *lines]))
    return "\n\n".join(blocks)


@simple_filter
def python_string(text: str) -> str:
    """Quote text as a Python literal, with the quotes that a formatter would choose."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


@simple_filter
def toml_text(text: str) -> str:
    """Escape text for a TOML basic string (``tojson`` would write surrogate pairs)."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


@simple_filter
def markdown_text(text: str) -> str:
    """Escape text so that Markdown shows it as it was typed."""
    escaped = "".join(f"\\{sign}" if sign in MARKDOWN_MARKS else sign for sign in text)
    # Only at the start of a line are these the mark of a list or of a rule.
    return re.sub(r"^(\d+(?=[.)])|(?=[-+]))", r"\1\\", escaped)


@simple_filter
def template_root(_: object) -> str:
    """Name the folder of the template, in which cookiecutter renders the hooks."""
    return str(Path.cwd())


def _options_of_cruft() -> Mapping[str, Any]:
    """Return the answers that cruft was given, as JSON, for the release that is baked now."""
    command = _command_of_cruft()
    if command is None:
        return {}
    # This module is loaded again in between. Only the environment stays the same.
    rounds = int(os.environ.get(ROUNDS, "0")) + 1
    os.environ[ROUNDS] = str(rounds)
    if command == "update" and rounds == 1:
        return {}  # the old release need not know the options of the new one
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--extra-context", "--variables-to-update", dest="told", default="{}")
    options = json.loads(parser.parse_known_args(sys.argv[2:])[0].told)
    return options if isinstance(options, Mapping) else {}


def _command_of_cruft() -> str | None:
    """Name the command of cruft that bakes here, such as ``update``; None for other programs."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.stem == "__main__" else program.stem
    return sys.argv[1] if name == "cruft" and len(sys.argv) > 1 else None


def _arguments_of_the_call() -> Mapping[str, Any]:
    """Return the arguments of the function that was told where the user's configuration is.

    That is ``cookiecutter.main.cookiecutter``, whoever calls it, or its counterpart in cruft.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if "config_file" in frame.f_locals and "default_config" in frame.f_locals:
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}


def _refuse_old_cookiecutter(found: str) -> None:
    """Refuse a cookiecutter that does not know questions with yes or no."""
    least = ".".join(map(str, LEAST_COOKIECUTTER))
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < LEAST_COOKIECUTTER:
        raise FailedHookException(
            f"cookiecutter {found} is refused: the template needs {least} or later."
            " A valid example: uvx cookiecutter@latest"
        )


def _refuse_defaults(config_file: object, default_config: bool) -> None:
    """Refuse a default of the user's configuration that is no answer to its question."""
    path = None if config_file is None else str(config_file)
    if path and not Path(path).exists():
        return  # it was read at the prompts; the files are rendered in another folder
    defaults = get_user_config(config_file=path, default_config=default_config)["default_context"]
    settings = _template_json()
    choices = django_signals_rules.choices_of(settings)
    allowed = {name: ["yes", "no"] for name in settings["_modules"]} | choices
    for name, value in (defaults or {}).items():
        answers = allowed.get(name, [value])
        if value in answers or (name not in choices and str(value).strip().lower() in YES_OR_NO):
            continue
        raise FailedHookException(
            f"{name} {value!r} is refused: in the default_context of your configuration of"
            f" cookiecutter it has to be {django_signals_rules.either(answers)}."
            f" A valid example: {answers[0]}"
        )


def _refuse_options(options: Mapping[str, Any]) -> None:
    """Refuse an option that the template does not have or that Jinja would change."""
    known = [name for name in _template_json() if not name.startswith("_")]
    for name, value in options.items():
        if name not in known:
            raise FailedHookException(
                f"{name}={value} is refused: there is no option {name}."
                f" The options are: {', '.join(known)}"
            )
        if isinstance(value, str) and django_signals_rules.has_template_marks(value):
            raise FailedHookException(
                f"{name}={value!r} is refused: an answer must not hold the"
                " template marks {{ }}, {% %}, {# #} or a line that starts with '# %'."
            )


def _chosen(cookiecutter: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, module) for name, module in cookiecutter["_modules"].items() if cookiecutter[name]
    ]


def _template_json() -> dict[str, Any]:
    # Of the template that is called: another copy may come first on ``sys.path``.
    called = Path(_arguments_of_the_call().get("context_file") or "")
    own = Path(__file__).resolve().with_name("cookiecutter.json")
    data: dict[str, Any] = json.loads((called if called.is_file() else own).read_text("utf-8"))
    return data
