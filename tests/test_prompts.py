"""The questions: that each is asked well, and that their suggestions can be taken."""

import re
from pathlib import Path

import pytest

from tests.support.cli import Home
from tests.support.template import TEMPLATE, Template

QUESTIONS: dict[str, str] = TEMPLATE.settings["__prompts__"]
*_, LAST = TEMPLATE.registry


def test_every_prompt_has_its_question_and_no_other_has() -> None:
    assert list(QUESTIONS) == TEMPLATE.prompts


def test_the_modules_come_last_and_are_all_off() -> None:
    last = TEMPLATE.prompts[-len(TEMPLATE.registry) :]
    assert last == list(TEMPLATE.registry)
    assert all(TEMPLATE.settings[name] is False for name in TEMPLATE.registry)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_no_square_brackets(name: str) -> None:
    """The terminal takes them for markup, swallows them and can fail over them."""
    assert not re.search(r"[\[\]]", QUESTIONS[name])


@pytest.mark.parametrize("module", TEMPLATE.registry)
def test_a_module_is_introduced_with_its_name_and_its_signals(module: str) -> None:
    question = QUESTIONS[module]
    signals = re.findall(r"\b[a-z0-9]+_[a-z_]+\b", TEMPLATE.registry[module]["listens_to"])
    heard = re.search(r"\(on (.+)\)$", question)
    assert question.startswith(f"{module}: ")
    assert heard
    assert all(signal in heard[1] for signal in signals)
    assert signals or "no signal" in heard[1]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Project", "my_project"),
        ("\U0001f600", "my_project"),
        ("\U0001f600 import", "import_project"),
        ("Django", "django_project"),
        ("123 Go", "go"),
        ("\u6f22\u5b57", "han_zi"),
        ("x" * 200, "x" * 40),
    ],
)
def test_the_suggested_slug_can_be_taken(tmp_path: Path, name: str, slug: str) -> None:
    """A session as a person has it: a name is typed, then every suggestion is taken."""
    home = Home(tmp_path)
    outcome = home.bake(answers=f"{name}\n" + "\n" * (len(TEMPLATE.prompts) - 1))
    assert outcome.status == 0, outcome.said
    assert [path.name for path in home.output.iterdir()] == [slug]


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_template_can_be_named_by_a_relative_path(
    copy_of_template: Template, prefix: str
) -> None:
    home = Home(copy_of_template.root.parent)
    relative = f"{prefix}{copy_of_template.root.name}/"
    outcome = home.bake("--no-input", f"{LAST}=yes", template=relative)
    assert outcome.status == 0, outcome.said
    assert (home.output / "my_project" / "apps" / LAST).is_dir()


def test_a_module_is_chosen_at_its_prompt(tmp_path: Path) -> None:
    home = Home(tmp_path)
    wanted = next(iter(TEMPLATE.registry))
    answers = ["y\n" if name == wanted else "\n" for name in TEMPLATE.prompts]
    outcome = home.bake(answers="".join(answers))
    assert outcome.status == 0, outcome.said
    assert all(question.split(" (")[0] in outcome.said for question in QUESTIONS.values())
    folders = {path.name for path in (home.output / "my_project" / "apps").iterdir()}
    assert folders & set(TEMPLATE.registry) == {wanted}
