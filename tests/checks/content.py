"""Checks of what a bake wrote, file by file; each returns what is wrong."""

import json
import re

from jinja2 import Environment

from tests.support.project import ANSWERS, BakedProject, requirement_name
from tests.support.template import Template, variables_read

# Renders the names of files.
NAMES = Environment()  # noqa: S701 (no HTML)
# The expressions that a code host fills in.
EXPRESSION = re.compile(r"\$\{\{ [\w.]+ \}\}")
# The README names the program that makes projects.
PROGRAM = re.compile(r"uvx cookiecutter( ADDRESS|==)|git and cookiecutter")
# The expressions that Renovate fills in.
FILLED_IN = re.compile(r"\{\{\{\w+\}\}\}")
DJANGO_TEMPLATE = re.compile(r"apps/.*\btemplates/|config/app_template/")


def file_set(project: BakedProject) -> list[str]:
    """The files are those of the template, less those of the modules not chosen."""
    template = project.template
    left_out = template.left_out(project.combination)
    answers = json.loads(project.read(ANSWERS))["default_context"]
    expected = {
        name
        for file in template.files()
        if not any(file == path or file.startswith(f"{path}/") for path in left_out)
        # A file whose name renders empty is not written.
        if (name := NAMES.from_string(file).render(cookiecutter=answers))
    }
    return [
        *(f"{file} is missing" for file in sorted(expected - project.files)),
        *(f"{file} should not be there" for file in sorted(project.files - expected)),
    ]


def leftovers(project: BakedProject) -> list[str]:
    """Nothing is left of the template's language or of its engine's name."""
    faults = []
    for file, text in project.texts().items():
        marks = ["# %", "cookiecutter"]
        if not DJANGO_TEMPLATE.match(file):
            marks += ["{{", "{%"]
        if file.startswith(".github/workflows/"):
            text = PROGRAM.sub("", EXPRESSION.sub("", text))
        elif file == ".github/renovate.json":
            text = FILLED_IN.sub("", text)
        elif file == "README.md":
            text = PROGRAM.sub("", text)
        faults += [
            f"{file}:{number}: {mark} is left: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            for mark in marks
            if mark in line.lower()
        ]
    return faults


# A program whose name holds that of a module, and what it is read as.
FOREIGN = ("pip-audit", "pip_a")


def traces(project: BakedProject) -> list[str]:
    """Nothing names a module that was not chosen, nor anything that only that module brings."""
    template, chosen = project.template, project.combination.modules
    kept = {word for module in chosen for word in words_of(template, module)}
    faults = []
    for module in template.registry:
        if module in chosen:
            continue
        pattern = re.compile(
            "|".join(_as_word(word) for word in words_of(template, module) if word not in kept)
        )
        for file, text in project.texts_without_answers().items():
            if pattern.search(file):
                faults.append(f"{file} is named after {module}")
            faults += [
                f"{file}:{number}: a trace of {module}: {found[0]!r} in: {line.strip()}"
                for number, line in enumerate(text.splitlines(), 1)
                if (found := pattern.search(line.replace(*FOREIGN)))
            ]
    return faults


def words_of(template: Template, module: str) -> list[str]:
    """List the words by which a module is known.

    They are its name in every spelling, and the packages, extras, settings, variables,
    paths and URL that it and nothing else brings.
    """
    entry = template.registry[module]
    parts = module.split("_")
    words = [module, "-".join(parts), " ".join(parts), "".join(parts)]
    for line in [*entry.get("dependencies", []), *entry.get("development", [])]:
        words += [requirement_name(line), *re.findall(r"[\w-]+", extras_of(line))]
    # Packages that those need have names such as "click": only the whole line is telling.
    words += entry.get("constraints", [])
    words += [*entry.get("settings", {}), *entry.get("environment", {}), *entry.get("paths", [])]
    words += [item for items in entry.get("contributes", {}).values() for item in items]
    words += [entry["url"]] if "url" in entry else []
    return [word for word in dict.fromkeys(words) if word not in template.settings["_settings"]]


def extras_of(requirement: str) -> str:
    """Return the text in the square brackets of a requirement."""
    found = re.search(r"\[(.*?)\]", requirement)
    return found[1] if found else ""


def undocumented_variables(project: BakedProject) -> list[str]:
    """Every environment variable that the settings read is in .env.example."""
    example = project.read(".env.example")
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example, flags=re.MULTILINE))
    read = variables_read(project.read("config/settings.py"))
    return [f".env.example lacks {name}, which settings.py reads" for name in sorted(read - named)]


def _as_word(word: str) -> str:
    """Match a word, in any case, that neither a letter nor a digit touches.

    An underscore may, and so may the next word of a name in capitals: ``audit`` is found
    in ``audit_entry``, ``AUDIT`` and ``AuditConfig``, and not in ``audits`` or ``audited``.
    """
    quoted = re.escape(word)
    pattern = rf"(?<![A-Za-z0-9])(?i:{quoted})(?![A-Za-z0-9])"
    return rf"{pattern}|{quoted.capitalize()}(?=[A-Z])" if word.isalpha() else pattern
