"""Hostile answers: each is refused in one sentence, or arrives intact in a project that works."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter

from tests.checks import commands, content
from tests.checks.check import expect_none
from tests.support.answers import ACCEPTED, REFUSED_EMAILS, REFUSED_SLUGS, REFUSED_TEXTS
from tests.support.bakery import Bakery
from tests.support.cli import Home
from tests.support.markdown import Document
from tests.support.template import ROOT, TEMPLATE, Combination, Template

SHOW_ANSWERS = Path(__file__).resolve().parent / "support" / "show_answers.py"

REFUSED = [
    pytest.param(prompt, answer, id=f"{prompt}-{name}")
    for prompt, table in [
        ("project_slug", REFUSED_SLUGS),
        ("project_name", REFUSED_TEXTS),
        ("author_email", REFUSED_EMAILS),
    ]
    for name, answer in table.items()
]
TEXT_PROMPTS = ("description", "author_name")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(("prompt", "answer"), REFUSED)
def test_refused(home: Home, prompt: str, answer: str) -> None:
    outcome = home.bake("--no-input", f"{prompt}={answer}")
    assert outcome.is_clean_refusal(), (outcome.said, home.left_behind())
    assert prompt in outcome.said
    assert "is refused" in outcome.said


@pytest.mark.parametrize("prompt", TEXT_PROMPTS)
@pytest.mark.parametrize("name", ["newline", "expression", "201 characters"])
def test_refused_in_the_other_texts(home: Home, prompt: str, name: str) -> None:
    outcome = home.bake("--no-input", f"{prompt}={REFUSED_TEXTS[name]}")
    assert outcome.is_clean_refusal(), (outcome.said, home.left_behind())
    assert prompt in outcome.said


@pytest.mark.parametrize("answers", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(bakery: Bakery, answers: dict[str, str]) -> None:
    project = bakery.bake(TEMPLATE, Combination(()), **{"project_slug": "hostile", **answers})

    metadata = project.pyproject["project"]
    assert metadata["description"] == answers["description"]
    assert metadata["authors"][0]["name"] == answers["author_name"]
    readme = Document(project.read("README.md"))
    assert readme.headings()[0] == answers["project_name"]
    assert readme.paragraphs()[0] == answers["description"]
    done = project.run(
        "python",
        str(SHOW_ANSWERS),
        PYTHONPATH=str(project.path),
        DJANGO_SETTINGS_MODULE="config.settings",
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["name"] == shown["h1"] == answers["project_name"]
    assert shown["description"] == shown["lead"] == answers["description"]
    assert shown["sender"] == answers.get("author_email", "you@example.com")
    assert answers["project_name"] in shown["title"]

    checks = [content.file_set, commands.ruff_check, commands.ruff_format, commands.own_tests]
    for check in checks:
        expect_none(check(project))


def test_accepted_on_the_command_line_too(home: Home) -> None:
    answers = ACCEPTED["quotes"]
    outcome = home.bake("--no-input", *(f"{name}={answer}" for name, answer in answers.items()))
    assert outcome.status == 0, outcome.said
    (project,) = home.output.iterdir()
    assert (
        Document((project / "README.md").read_text(encoding="utf-8")).headings()[0]
        == (answers["project_name"])
    )


def test_accepted_where_the_terminal_cannot_show_it(home: Home) -> None:
    answers = ACCEPTED["any language"]
    outcome = home.bake(
        "--no-input",
        "project_slug=any_language",
        *(f"{name}={answer}" for name, answer in answers.items()),
        PYTHONIOENCODING="ascii",
    )
    assert outcome.status == 0, outcome.said
    readme = home.output / "any_language" / "README.md"
    assert Document(readme.read_text(encoding="utf-8")).headings()[0] == answers["project_name"]


@pytest.mark.parametrize("spelling", ["yes", "y", "true", "t", "1", "on", "YES", "True", "On"])
def test_a_spelling_of_yes(home: Home, spelling: str) -> None:
    assert _modules_baked(home, spelling) == sorted(TEMPLATE.registry)


@pytest.mark.parametrize("spelling", ["no", "n", "false", "f", "0", "off", "NO", "False", "Off"])
def test_a_spelling_of_no(home: Home, spelling: str) -> None:
    assert _modules_baked(home, spelling) == []


@pytest.mark.parametrize("answer", ["perhaps", "", "2", "yes\n no", "None", "{{ true }}"])
def test_neither_yes_nor_no(home: Home, answer: str) -> None:
    """Cookiecutter itself refuses it, before it loads the template and so with its own traceback."""
    module = next(iter(TEMPLATE.registry))
    outcome = home.bake("--no-input", f"{module}={answer}")
    assert outcome.status == 1
    assert f"{answer} provided for variable {module} could not be converted" in outcome.said
    assert not home.left_behind()


def test_an_unknown_option_is_refused(home: Home) -> None:
    outcome = home.bake("--no-input", "audti=yes")
    assert outcome.is_clean_refusal(), (outcome.said, home.left_behind())
    assert all(name in outcome.said for name in ["audti", *TEMPLATE.prompts])


def test_a_private_variable_is_no_option(home: Home) -> None:
    outcome = home.bake("--no-input", "_modules={}")
    assert outcome.is_clean_refusal(), (outcome.said, home.left_behind())


def test_declining_the_hooks_declines_no_rule(home: Home) -> None:
    outcome = home.bake("--no-input", "--accept-hooks", "no", "project_slug=../x")
    assert outcome.is_clean_refusal(), (outcome.said, home.left_behind())


def test_declining_the_hooks_is_refused(home: Home) -> None:
    """Without them the folders of all modules would stay."""
    outcome = home.bake("--no-input", "--accept-hooks", "no")
    assert outcome.is_clean_refusal(), (outcome.said, home.left_behind())
    assert "--accept-hooks no is refused" in outcome.said


@pytest.mark.parametrize("answer", ["ja", "", "2"])
def test_a_default_that_is_neither_yes_nor_no_is_refused(home: Home, answer: str) -> None:
    """Cookiecutter drops it, and every default below it, with a warning."""
    module = next(iter(TEMPLATE.registry))
    outcome = home.bake("--no-input", "--config-file", defaults(home, **{module: answer}))
    assert outcome.status == 1
    assert f"{module} '{answer}' is refused: in the default_context" in outcome.said
    assert "Traceback" not in outcome.said
    assert not home.output.exists() or list(home.output.iterdir()) == []


@pytest.mark.parametrize("answer", ["mit", "MIT license", ""])
def test_a_default_that_is_no_choice_is_refused(home: Home, answer: str) -> None:
    """Cookiecutter does the same with it."""
    outcome = home.bake("--no-input", "--config-file", defaults(home, license=answer))
    assert outcome.status == 1
    assert f"license '{answer}' is refused: in the default_context" in outcome.said
    assert "it has to be none, MIT, " in outcome.said
    assert "Traceback" not in outcome.said
    assert not home.output.exists() or list(home.output.iterdir()) == []


@pytest.mark.parametrize("answer", ["YES", True, "on"])
def test_a_default_of_the_user_is_heeded(home: Home, answer: str | bool) -> None:
    """Defaults for other templates are ignored."""
    chosen = dict.fromkeys(TEMPLATE.registry, answer)
    others = {"use_docker": "ja", "license": "MIT"}
    outcome = home.bake("--no-input", "--config-file", defaults(home, **others, **chosen))
    assert outcome.status == 0, outcome.said
    assert (home.output / "my_project" / "LICENSE").exists()
    folders = {path.name for path in (home.output / "my_project" / "apps").iterdir()}
    assert set(TEMPLATE.registry) <= folders


def defaults(home: Home, **answers: str | bool) -> str:
    """Write a configuration of cookiecutter's with default answers; return its path."""
    path = home.folder / "configuration.yaml"
    path.write_text(json.dumps({"default_context": answers}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"extra_context": {"audti": True}}, "audti=True is refused: there is no option audti"),
        ({"extra_context": {"description": "{{ 1 }}"}}, "is refused: an answer must not hold"),
        ({"accept_hooks": False}, "--accept-hooks no is refused"),
    ],
)
def test_a_program_is_refused_as_a_person_is(
    tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(FailedHookException, match=re.escape(says)):
        cookiecutter(
            str(ROOT), no_input=True, default_config=True, output_dir=str(tmp_path), **arguments
        )
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_left_alone(home: Home) -> None:
    existing = home.output / "my_project"
    existing.mkdir(parents=True)
    (existing / "mine.txt").write_text("mine")
    outcome = home.bake("--no-input")
    assert outcome.status == 1
    assert "already exists" in outcome.said
    assert "Traceback" not in outcome.said
    assert [path.name for path in existing.iterdir()] == ["mine.txt"]
    assert (existing / "mine.txt").read_text() == "mine"


def test_a_project_is_never_overwritten(home: Home) -> None:
    """Cookiecutter would delete its folder of apps, with the owner's own apps."""
    assert home.bake("--no-input").status == 0
    own = home.output / "my_project" / "apps" / "mine" / "models.py"
    own.parent.mkdir()
    own.write_text("mine")
    before = home.left_behind()
    for options in (["-f"], ["-f", "-s"]):
        outcome = home.bake("--no-input", *options, "audit=yes")
        assert outcome.status == 1
        assert f"{home.output / 'my_project'} is refused: it holds a project" in outcome.said
        assert home.left_behind() == before
    assert own.read_text() == "mine"


def test_a_folder_that_holds_no_project_can_be_filled(home: Home) -> None:
    """As after ``git clone`` of an empty repository that came with a licence."""
    folder = home.output / "my_project"
    (folder / ".git").mkdir(parents=True)
    (folder / "LICENSE").write_text("mine")
    outcome = home.bake("--no-input", "-f")
    assert outcome.status == 0, outcome.said
    assert (folder / "LICENSE").read_text() == "mine"
    assert (folder / "manage.py").exists()


def test_a_replay_of_another_release_is_refused(copy_of_template: Template) -> None:
    """It would bake this release with the pins and the registry of that one."""
    home = Home(copy_of_template.root.parent)
    settings = copy_of_template.settings
    module = next(iter(settings["_modules"]))
    settings["_modules"][module]["dependencies"] = ["six==1.16.0"]
    path = copy_of_template.root / "cookiecutter.json"
    now = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert home.bake("--no-input", template=copy_of_template.root).status == 0
    shutil.rmtree(home.output / "my_project")
    path.write_text(now, encoding="utf-8")
    outcome = home.bake("--replay", template=copy_of_template.root)
    assert outcome.status == 1
    assert "its answers were given to another release of the template" in outcome.said
    assert list(home.output.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("project_slug", "../x"),
        ("project_slug", "class"),
        ("project_name", "a\nb"),
        ("description", "{{ 7 * 7 }}"),
        ("author_email", "nobody"),
        ("license", "perhaps"),
        (next(iter(TEMPLATE.registry)), "perhaps"),
    ],
)
def test_a_doctored_replay_is_refused_by_the_hook(home: Home, name: str, answer: str) -> None:
    assert home.bake("--no-input").status == 0
    shutil.rmtree(home.output / "my_project")
    (replay,) = home.replays.iterdir()
    answers = json.loads(replay.read_text(encoding="utf-8"))
    answers["cookiecutter"][name] = answer
    replay.write_text(json.dumps(answers), encoding="utf-8")
    before = home.left_behind()

    outcome = home.bake("--replay")

    assert outcome.status == 1
    assert f"{name} " in outcome.said
    assert "is refused" in outcome.said
    assert home.left_behind() == before


def test_an_unchanged_replay_bakes_the_same(home: Home) -> None:
    assert home.bake("--no-input", "project_name=A # % \"b\" 'c' \\").status == 0
    (project,) = home.output.iterdir()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    shutil.rmtree(project)
    outcome = home.bake("--replay")
    assert outcome.status == 0, outcome.said
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_closed_pipe_does_not_lose_the_project(home: Home) -> None:
    """As with ``cookiecutter … | head``: the closing message goes to a pipe that is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        outcome = home.bake("--no-input", output=writing)
    finally:
        os.close(writing)
    assert outcome.status == 0, outcome.said
    assert outcome.said == ""
    assert (home.output / "my_project" / "manage.py").exists()


README = Document((ROOT / "README.md").read_text(encoding="utf-8"))
(PRESETS,) = [table[1:] for table in README.tables() if table[0] == ["To get", "Run"]]


@pytest.mark.parametrize("command", [row[1].strip("`") for row in PRESETS])
def test_a_preset_of_the_readme_bakes_what_it_names(home: Home, command: str) -> None:
    program, here, *arguments = shlex.split(command.removeprefix("uvx "))
    assert (program, here) == ("cookiecutter", ".")
    if "--replay" in arguments:
        first = ["--no-input", "project_name=Ledger", "profiles=yes"]
        assert home.bake(*first).status == 0
        shutil.rmtree(home.output / "ledger")
        told = dict(word.split("=") for word in first[1:])
    else:
        assert arguments[0] == "--no-input"
        told = dict(word.split("=") for word in arguments[1:])
    outcome = home.bake(*arguments)
    assert outcome.status == 0, outcome.said
    (project,) = home.output.iterdir()
    chosen = {path.name for path in (project / "apps").iterdir()} & set(TEMPLATE.registry)
    assert chosen == {name for name in told if told[name] == "yes"}
    heading = Document((project / "README.md").read_text(encoding="utf-8")).headings()[0]
    assert heading == told.get("project_name", "My Project")


@pytest.mark.parametrize(
    "command", [row[1].strip("`") for row in PRESETS if re.search("=yes|license=", row[1])]
)
def test_a_preset_without_no_input_sets_the_defaults_of_the_questions(
    home: Home, command: str
) -> None:
    """One of them is answered otherwise; every other question takes its default."""
    words = [word for word in shlex.split(command) if "=" in word]
    wanted = {"license": "none"} | dict.fromkeys(TEMPLATE.registry, "no")
    wanted |= dict(word.split("=") for word in words)
    *_, last = TEMPLATE.registry
    typed = ["y\n" if name == last else "\n" for name in TEMPLATE.prompts]
    outcome = home.bake(*words, answers="".join(typed))
    assert outcome.status == 0, outcome.said
    recorded = json.loads((home.output / "my_project" / ".template.json").read_text("utf-8"))
    found = {name: recorded["default_context"][name] for name in wanted}
    spelled = {True: "yes", False: "no"}
    assert {name: spelled.get(value, value) for name, value in found.items()} == wanted | {
        last: "yes"
    }


def test_one_preset_has_every_module() -> None:
    assert any(all(f"{name}=yes" in row[1] for name in TEMPLATE.registry) for row in PRESETS)


def _modules_baked(home: Home, spelling: str) -> list[str]:
    outcome = home.bake("--no-input", *(f"{module}={spelling}" for module in TEMPLATE.registry))
    assert outcome.status == 0, outcome.said
    folders = {path.name for path in (home.output / "my_project" / "apps").iterdir()}
    return sorted(folders & set(TEMPLATE.registry))
