"""A first app of one's own, made as the README of a project says, and the recipes that go on from it."""

import re
from pathlib import Path

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.checks.command_lines import command_lines
from tests.support.bakery import Bakery
from tests.support.markdown import Document
from tests.support.project import BakedProject
from tests.support.template import TEMPLATE, Combination

HEAD = """
from typing import Any

import pytest
from django.db.models.signals import post_save
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.core.dispatch import mute, receiver
from apps.shop.models import Item


"""
FAILING = """


@receiver(post_save, sender=Item, after_commit=True)
def fail(sender: Any, **kwargs: Any) -> None:
    raise RuntimeError("no luck")
"""
TIDY = """


@pytest.mark.django_db
@pytest.mark.usefixtures("connections_as_before")
def test_a_name_is_tidied() -> None:
    connect()
    assert Item.objects.create(name=" a ").name == Item.objects.get().name == "a"
    Item(pk=Item.objects.get().pk, name=" b").save()
    assert Item.objects.get().name == "b"
"""


def section(project: BakedProject) -> str:
    """Return the part of the README that makes the app."""
    _, found, rest = project.read("README.md").partition("## A first app of your own\n")
    assert found
    return rest.partition("\n## ")[0]


def make_app(project: BakedProject, database: str) -> list[str]:
    """Do what the README says, with its programs; return its commands."""
    text = section(project)
    fences = [fence.text for fence in Document(text).fences()]
    lines = [line for fence in fences for line in command_lines(fence)]
    (entry,) = re.findall(r'Add `("[\w.]+",)` to', text)
    for line in lines:
        program, *words = line.removeprefix("uv run ").split()
        words = [program, *words] if program == "manage.py" else ["-m", program, *words]
        expect_none(project.faults_of("python", *words, DATABASE_URL=database))
        if "startapp" in line:
            settings = project.path / "config" / "settings.py"
            before = settings.read_text(encoding="utf-8")
            (last,) = re.findall(r"^    # Add your apps here.*\n", before, re.MULTILINE)
            settings.write_text(before.replace(last, f"{last}    {entry}\n"), encoding="utf-8")
    return lines


def with_app(bakery: Bakery, combination: Combination, folder: Path, database: str) -> BakedProject:
    """Return a project with the app that its README makes, and its tables in a database."""
    project = bakery.copy(bakery.project(combination), folder / "my_project")
    lines = make_app(project, database)
    assert 4 <= len(lines) <= 5
    return project


@pytest.mark.parametrize("combination", [Combination(()), TEMPLATE.all_on()], ids=str)
def test_five_commands_make_an_app_whose_receiver_runs(
    bakery: Bakery, combination: Combination, tmp_path: Path, empty_database: str
) -> None:
    project = with_app(bakery, combination, tmp_path, empty_database)
    # The hooks of pre-commit format the files that makemigrations writes.
    expect_none(project.faults_of("ruff", "format", "--no-cache", "apps/shop/migrations"))
    for check in (
        commands.ruff_check,
        commands.ruff_format,
        commands.types,
        commands.django_check,
        commands.missing_migrations,
        commands.own_checks,
    ):
        expect_none(check(project))
    code = "from apps.shop.models import Item; Item.objects.create(name='first')"
    database = {"DATABASE_URL": empty_database}
    done = project.run("python", "manage.py", "shell", "-v0", "-c", code, **database)
    assert "Item 1 is new." in done.stderr
    if "docs/signals.md" in project.files:
        assert "shop.Item" in project.read("docs/signals.md")


def recipes(project: BakedProject, word: str) -> list[str]:
    """Return the pieces of Python of the page that hold a word."""
    fences = Document(project.read("docs/recipes.md")).fences()
    found = [each.text for each in fences if each.language == "python" and word in each.text]
    assert len(found) == 2
    return found


def write_test(project: BakedProject, name: str, text: str) -> None:
    """Write a file of tests into the app, with what the recipes import."""
    file = project.path / "apps" / "shop" / "tests" / f"test_{name}.py"
    file.write_text(HEAD.lstrip() + text, encoding="utf-8")


def test_the_recipes_work_as_they_stand(
    bakery: Bakery, tmp_path: Path, empty_database: str
) -> None:
    project = with_app(bakery, Combination(()), tmp_path, empty_database)
    for number, text in enumerate(recipes(project, "def tidy_name(")):
        # Connected in the test, so that the test of the other one does not hear of it.
        inside = "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
        write_test(project, f"tidy_{number}", f"def connect() -> None:\n{inside}{TIDY}")
    write_test(project, "commit", "\n\n".join(recipes(project, "def test_")))
    # The tests make a separate database on the same server.
    server = {"DATABASE_URL": empty_database} if empty_database.startswith("postgres") else {}
    expect_none(
        commands.own_tests(project, options=["apps/shop"], servers=bool(server), variables=server)
    )


def test_a_receiver_that_fails_after_the_commit_fails_the_tests_of_the_recipes(
    bakery: Bakery, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'database.sqlite3'}"
    project = with_app(bakery, Combination(()), tmp_path, database)
    write_test(project, "commit", "\n\n".join(recipes(project, "def test_")) + FAILING)
    (faults,) = commands.own_tests(project, options=["apps/shop/tests/test_commit.py"])
    assert "no luck" in faults
    assert "2 failed" in faults
