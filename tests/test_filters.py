"""The template's filters, without a bake."""

import ast
import tomllib
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment

from tests.support.answers import ACCEPTED
from tests.support.markdown import Document

TEXTS = sorted(
    {text for row in ACCEPTED.values() for name, text in row.items() if name != "author_email"}
)
REGISTRY: dict[str, dict[str, Any]] = {
    "first": {"contributes": {"LISTED": ['"first.Thing"'], "UNKNOWN": ['"lost"']}},
    "second": {
        "settings": {
            "LISTED": {"comment": "What is listed.", "items": ['"core.Thing"']},
            "JOBS": {"comment": "Elsewhere.", "lines": ["JOBS = {", '    "a": 1,', "}"]},
        }
    },
}
OWN = {"JOBS": {"comment": "Here.", "lines": ["JOBS = {}"]}}


def render(name: str, value: object) -> Any:
    """Apply a filter as a template does."""
    environment = Environment(extensions=[f"django_signals_extensions.{name}"])  # noqa: S701 (no HTML)
    return environment.filters[name](value)


def answers(**chosen: object) -> dict[str, Any]:
    return {"_modules": REGISTRY, "_settings": OWN, "first": False, "second": False, **chosen}


@pytest.mark.parametrize("text", TEXTS)
def test_python_string(text: str) -> None:
    assert ast.literal_eval(render("python_string", text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_toml_text(text: str) -> None:
    assert tomllib.loads(f'text = "{render("toml_text", text)}"') == {"text": text}


@pytest.mark.parametrize("text", TEXTS)
def test_markdown_text(text: str) -> None:
    written = render("markdown_text", text)
    assert Document(written).paragraphs() == [text]
    assert Document(f"# {written}").headings() == [text]


def test_chosen_modules_follow_the_registry() -> None:
    chosen = render("chosen_modules", answers(second=True, first=True))
    assert [name for name, _ in chosen] == ["first", "second"]
    assert render("chosen_modules", answers()) == []


def test_module_settings_of_no_module() -> None:
    assert render("module_settings", answers()) == "# Here.\nJOBS = {}"


def test_an_own_list_is_there_once_a_module_adds_to_it() -> None:
    own = {"LISTED": {"comment": "A list.", "items": []}}
    assert render("module_settings", answers(_settings=own)) == ""
    written = '# A list.\nLISTED = [\n    "first.Thing",\n]'
    assert render("module_settings", answers(first=True, _settings=own)) == written


def test_module_settings_collect_what_modules_contribute() -> None:
    assert render("module_settings", answers(first=True, second=True)) == (
        "# Elsewhere.\n"
        "JOBS = {\n"
        '    "a": 1,\n'
        "}\n"
        "\n"
        "# What is listed.\n"
        "LISTED = [\n"
        '    "core.Thing",\n'
        '    "first.Thing",\n'
        "]"
    )


def test_a_contribution_to_a_module_that_is_not_chosen_is_dropped() -> None:
    assert render("module_settings", answers(first=True)) == "# Here.\nJOBS = {}"


def test_accepted_says_why_it_refuses() -> None:
    with pytest.raises(FailedHookException, match=r"^project_name .* is refused: "):
        render("accepted", {**answers(), "project_name": ""})


def test_the_guard_is_silent_without_a_command_line() -> None:
    Environment(extensions=["django_signals_extensions.CallGuard"])  # noqa: S701 (no HTML)
