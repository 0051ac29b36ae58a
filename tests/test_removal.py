"""Taking a module out by hand, step by step as its README says, leaves no trace of it."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.project import BakedProject, files_in
from tests.support.template import TEMPLATE, Combination

# Those whose READMEs number the steps; what the others have outside of their folders is checked below.
MODULES = ("profiles", "welcome_email", "taskboard")


def steps(project: BakedProject, module: str) -> list[list[str]]:
    """Return the code in each of the README's numbered steps."""
    section = project.read(f"apps/{module}/README.md").partition("## Taking it out\n")[2]
    return [re.findall(r"`(.+?)`", step) for step in re.findall(r"^\d+\. (.+)$", section, re.M)]


def take_out(project: BakedProject, module: str, database: str) -> None:
    """Do what the steps say."""
    drop, delete, edit, clear = steps(project, module)
    run(project, drop[0], database)
    for name in delete:
        path = project.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    *named, tidy = edit
    files = [name for name in named if (project.path / name).is_file()]
    folders = [name for name in named if (project.path / name).is_dir()]
    words = [name for name in named if name not in (*files, *folders)]
    # Which pages of a folder name the module depends on the other modules.
    pages = [page for folder in folders for page in (project.path / folder).glob("*.md")]
    for path in (*(project.path / file for file in files), *pages):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not any(word in line for word in words)]
        assert kept != lines or path in pages, f"{path} has no line to delete"
        path.write_text("".join(kept), encoding="utf-8")
    run(project, tidy, database)
    run(project, f"{clear[0]} --no-input", database)
    if "docs/signals.md" in project.files:
        run(project, "uv run manage.py signals --write", database)


def take_out_an_empty_list(project: BakedProject) -> None:
    """Do what the sentence after the steps says: no module has a periodic job any more."""
    for name in TEMPLATE.settings["_settings"]["PERIODIC"]["paths"]:
        path = project.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file, part in (
        ("config/settings.py", r"# Periodic jobs: .*?\nPERIODIC = \[\]\n\n?"),
        ("docs/production.md", r"`PERIODIC` in .*?(?=\n## )"),
    ):
        text, number = re.subn(part, "", project.read(file), count=1, flags=re.DOTALL)
        assert number == 1, f"{file} has no such part"
        (project.path / file).write_text(text, encoding="utf-8")


def run(project: BakedProject, line: str, database: str) -> None:
    """Run a command of the README in the environment that the tests share."""
    words = line.removeprefix("uv run ").split()
    program = ["python", *words] if words[0] == "manage.py" else words
    expect_none(project.faults_of(*program, DATABASE_URL=database))


def rows(file: Path, query: str) -> set[str]:
    """Return the first column of what a query finds in a database."""
    connection = sqlite3.connect(file)
    try:
        return {row[0] for row in connection.execute(query)}
    finally:
        connection.close()


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with all others"])
def test_the_steps_of_the_readme_leave_no_trace(
    bakery: Bakery, tmp_path: Path, module: str, alone: bool
) -> None:
    others = tuple(name for name in TEMPLATE.registry if name != module and not alone)
    combination = Combination(tuple(n for n in TEMPLATE.registry if n in (*others, module)))
    project = bakery.copy(bakery.project(combination), tmp_path / "my_project")
    file = tmp_path / "database.sqlite3"
    database = f"sqlite:///{file}"
    run(project, "uv run manage.py migrate", database)
    tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
    assert {name for name in rows(file, tables) if name.startswith(f"{module}_")}

    take_out(project, module, database)
    if alone and "PERIODIC" in TEMPLATE.registry[module].get("contributes", {}):
        take_out_an_empty_list(project)

    without = bakery.project(Combination(others))
    assert files_in(project.path) == without.files
    for name, text in without.texts_without_answers().items():
        # Where a block of lines went, a blank line may be left.
        left = [line for line in project.read(name).splitlines() if line]
        assert left == [line for line in text.splitlines() if line], name
    assert not {name for name in rows(file, tables) if name.startswith(f"{module}_")}
    assert module not in rows(file, "SELECT app_label FROM django_content_type")
    assert module not in rows(file, "SELECT app FROM django_migrations")

    for check in (
        commands.ruff_check,
        commands.ruff_format,
        commands.django_check,
        commands.missing_migrations,
        commands.own_checks,
    ):
        expect_none(check(project))


@pytest.mark.parametrize("module", TEMPLATE.registry)
def test_the_readme_names_every_file_that_knows_of_the_module(bakery: Bakery, module: str) -> None:
    whole = bakery.project(TEMPLATE.all_on())
    without = bakery.project(Combination(tuple(n for n in TEMPLATE.registry if n != module)))
    section = whole.read(f"apps/{module}/README.md").partition("## Taking it out\n")[2]
    other = without.texts()
    knowing = [
        name
        for name, text in whole.texts_without_answers().items()
        # A command writes the list of receivers.
        if not name.startswith((f"apps/{module}/", "docs/signals.md")) and other.get(name) != text
    ]
    named = [f"`{name}`" in section or f"`{Path(name).parent}/`" in section for name in knowing]
    assert [name for name, is_named in zip(knowing, named, strict=True) if not is_named] == []
