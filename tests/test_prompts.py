"""The questions: that each is asked well, and that their suggestions can be taken."""

import re
import sys
from pathlib import Path

import pytest

from scripts.draw_prompt_session import CHOSEN, Session, answers, record_session, without_colours
from tests.conftest import copied_template
from tests.support.bakery import Bakery
from tests.support.cli import Home
from tests.support.contributing import change_settings
from tests.support.programs import clean_environment, run
from tests.support.repository import copied_repository, script_run, share_environments
from tests.support.template import TEMPLATE, Combination, Template

QUESTIONS: dict[str, list[str]] = {name: TEMPLATE.texts_of(name) for name in TEMPLATE.prompts}
*_, LAST = TEMPLATE.registry
COLUMNS = 80  # of a terminal


def recorded(template: Template) -> Session:
    """Record a session, in which nothing of the developer's own gets in."""
    folder = template.root.parent / "session"
    folder.mkdir()
    return record_session(str(folder), template.root, clean_environment())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The session of the picture in the README."""
    return recorded(copied_template(tmp_path_factory.mktemp("recorded") / "template"))


def too_wide(session: Session) -> list[str]:
    """List the lines of questions that leave no column for an answer."""
    lines = [line for question in session.questions for line in question.splitlines()]
    return [line for line in lines if len(line) >= COLUMNS]


def test_every_prompt_has_its_question_and_no_other_has() -> None:
    assert list(TEMPLATE.settings["__prompts__"]) == TEMPLATE.prompts


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_choice_has_a_question_and_a_text_for_each(name: str) -> None:
    """Any other prompt has one text, its question."""
    answer, texts = TEMPLATE.settings[name], TEMPLATE.settings["__prompts__"][name]
    if isinstance(answer, list):
        assert list(texts) == ["__prompt__", *answer]
    else:
        assert isinstance(texts, str)


def test_the_modules_come_last_and_are_all_off() -> None:
    last = TEMPLATE.prompts[-len(TEMPLATE.registry) :]
    assert last == list(TEMPLATE.registry)
    assert all(TEMPLATE.settings[name] is False for name in TEMPLATE.registry)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_no_square_brackets(name: str) -> None:
    """The terminal takes them for markup, swallows them and can fail over them."""
    assert not any(re.search(r"[\[\]]", text) for text in QUESTIONS[name])


@pytest.mark.parametrize("module", TEMPLATE.registry)
def test_a_module_is_introduced_with_its_name(module: str) -> None:
    """The question says what a person gets; the project's README lists the signals."""
    (question,) = QUESTIONS[module]
    assert re.fullmatch(rf"{module}: \w.*[^.]", question)


def test_every_question_is_asked_in_a_session(session: Session) -> None:
    """With its number and its default, as cookiecutter prints it."""
    assert len(session.questions) == len(TEMPLATE.prompts)
    pairs = zip(session.questions, QUESTIONS.values(), strict=True)
    for number, (asked, texts) in enumerate(pairs, 1):
        assert asked.startswith(f"  [{number}/{len(QUESTIONS)}] {texts[0]}")
        assert all(text in asked for text in texts)
        assert re.search(r"\(.+\): $", asked)


def test_every_question_fits_into_a_line(session: Session) -> None:
    assert too_wide(session) == []


@pytest.mark.parametrize(("characters", "fits"), [(57, True), (58, False)])
def test_a_question_that_is_too_long_is_noticed(
    copy_of_template: Template, characters: int, fits: bool
) -> None:
    """It may come from any module, and from the texts of a choice as well."""
    settings = copy_of_template.settings
    spare = len(str(len(TEMPLATE.prompts))) - 2  # the number of a prompt may have more digits
    settings["__prompts__"][LAST] = "x" * (characters - 2 * spare)
    change_settings(copy_of_template, settings)
    assert (too_wide(recorded(copy_of_template)) == []) == fits


def test_the_first_modules_are_chosen_in_the_picture(session: Session) -> None:
    chosen = ", ".join(sorted(list(TEMPLATE.registry)[:CHOSEN]))
    assert f"Ledger is ready in ~/code/ledger (modules: {chosen})." in without_colours(
        session.shown
    )


def add_a_choice(template: Template) -> None:
    """Let the template ask, before the modules, one question with a list of answers."""
    settings = template.settings
    first = next(iter(settings["_modules"]))
    table = {"__prompt__": "Flavour of everything", "plain": "plain as ever", "sweet": "with sugar"}
    change_settings(
        template,
        {
            name: value
            for old in settings
            for name, value in [
                *([("flavour", ["plain", "sweet"])] if old == first else []),
                (old, settings[old]),
            ]
        }
        | {"__prompts__": with_entry(settings["__prompts__"], first, "flavour", table)},
    )


def with_entry(
    entries: dict[str, object], before: str, name: str, value: object
) -> dict[str, object]:
    """Return a table with one more entry, before another."""
    return {
        key: each
        for old in entries
        for key, each in [*([(name, value)] if old == before else []), (old, entries[old])]
    }


def test_a_choice_is_asked_and_baked(bakery: Bakery, copy_of_template: Template) -> None:
    add_a_choice(copy_of_template)
    assert "flavour" in copy_of_template.prompts
    assert len(answers(copy_of_template.settings)) == len(TEMPLATE.prompts) + 1
    session = recorded(copy_of_template)
    assert len(session.questions) == len(TEMPLATE.prompts) + 1
    assert too_wide(session) == []
    (asked,) = [each for each in session.questions if "Flavour" in each]
    assert [line.strip() for line in asked.splitlines()[1:]] == [
        "1 - plain as ever",
        "2 - with sugar",
        "Choose from [1/2] (1):",
    ]
    baked = bakery.bake(copy_of_template, Combination((LAST,)), flavour="sweet")
    assert f"apps/{LAST}/apps.py" in baked.files


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [("sweet", 0, ""), ("sour", 1, "sour provided for choice variable flavour")],
)
def test_a_choice_can_be_made_on_the_command_line(
    copy_of_template: Template, answer: str, status: int, says: str
) -> None:
    add_a_choice(copy_of_template)
    home = Home(copy_of_template.root.parent)
    outcome = home.bake("--no-input", f"flavour={answer}", template=copy_of_template.root)
    assert outcome.status == status, outcome.said
    assert says in outcome.said
    assert (home.output / "my_project").exists() == (status == 0)


@pytest.mark.whole
def test_a_choice_breaks_no_test(bakery: Bakery, tmp_path: Path) -> None:
    """The tests that read the prompts or answer them, in a repository that has a choice."""
    repository = copied_repository(tmp_path / "clone")
    add_a_choice(repository)
    bakery.environment()
    share_environments(repository)
    done = script_run(repository, "scripts/draw_prompt_session.py")
    assert done.returncode == 0, done.stderr
    done = run(
        [
            *(sys.executable, "-m", "pytest", "-q", f"--basetemp={tmp_path}/run"),
            *("-m", "not whole", "-k", "not a_choice_ and not function and not circle"),
            *("tests/test_prompts.py", "tests/test_rules.py", "tests/test_hooks.py"),
            *("tests/test_answers.py", "tests/test_filters.py", "tests/test_template_source.py"),
            "tests/test_make.py::test_new_asks_when_nothing_is_said",
        ],
        folder=repository.root,
        environment=clean_environment(PYTHONDONTWRITEBYTECODE="1"),
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-10_000:]


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
    texts = [text for texts in QUESTIONS.values() for text in texts]
    assert all(text.split(" (")[0] in outcome.said for text in texts)
    folders = {path.name for path in (home.output / "my_project" / "apps").iterdir()}
    assert folders & set(TEMPLATE.registry) == {wanted}
