"""The rules for answers, by themselves."""

import keyword
import random
import re
import sys

import pytest
from slugify import slugify

import django_signals_rules
from tests.support.answers import ACCEPTED, REFUSED_EMAILS, REFUSED_SLUGS, REFUSED_TEXTS
from tests.support.bakery import Bakery
from tests.support.cli import Home
from tests.support.contributing import change_settings
from tests.support.template import TEMPLATE, Template

GOOD = {
    "project_name": "My Project",
    "project_slug": "my_project",
    "description": "What it is.",
    "author_name": "Ada Lovelace",
    "author_email": "ada@example.com",
    **{
        name: answers[0]
        for name, answers in django_signals_rules.choices_of(TEMPLATE.settings).items()
    },
    "extra": False,
}


def refusal(**answers: object) -> str | None:
    return django_signals_rules.refusal({**GOOD, **answers}, ["extra"])


def test_good_answers_pass() -> None:
    assert refusal() is None


@pytest.mark.parametrize("slug", REFUSED_SLUGS.values(), ids=REFUSED_SLUGS)
def test_a_bad_slug_is_refused(slug: str) -> None:
    assert django_signals_rules.slug_fault(slug)


@pytest.mark.parametrize(
    "slug",
    ["a", "my_project", "x1", "a" * 40, "a_b_c", "x_1", "django_shop", "testing", "com", "com10"],
)
def test_a_good_slug_passes(slug: str) -> None:
    assert django_signals_rules.slug_fault(slug) is None


@pytest.mark.parametrize("prompt", django_signals_rules.TEXTS)
@pytest.mark.parametrize("text", REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_a_bad_text_is_refused_at_every_prompt(prompt: str, text: str) -> None:
    sentence = refusal(**{prompt: text})
    assert sentence
    assert sentence.startswith(f"{prompt} ")


@pytest.mark.parametrize("answers", ACCEPTED.values(), ids=ACCEPTED)
def test_odd_but_harmless_text_passes(answers: dict[str, str]) -> None:
    assert refusal(**answers) is None


@pytest.mark.parametrize("email", REFUSED_EMAILS.values(), ids=REFUSED_EMAILS)
def test_a_bad_address_is_refused(email: str) -> None:
    assert refusal(author_email=email)


@pytest.mark.parametrize("answer", ["yes", "True", 1, 0, None, [], "{{ true }}"])
def test_a_module_is_chosen_with_a_boolean_only(answer: object) -> None:
    assert refusal(extra=answer)


@pytest.mark.parametrize("answer", ["mit", "GPL", "", "none, MIT"])
def test_a_licence_that_is_not_offered_is_refused(answer: str) -> None:
    sentence = refusal(license=answer)
    assert sentence
    assert sentence.startswith(f"license {answer!r} is refused: it has to be none, MIT, ")
    assert sentence.endswith(" or GPL-3.0-or-later. A valid example: none")


@pytest.mark.parametrize("prompt", [name for name in GOOD if name != "extra"])
@pytest.mark.parametrize("answer", [None, 3, [], {}, True])
def test_an_answer_that_is_no_text_is_refused(prompt: str, answer: object) -> None:
    assert refusal(**{prompt: answer})


@pytest.mark.parametrize("prompt", GOOD)
def test_a_missing_answer_is_refused(prompt: str) -> None:
    answers = {name: answer for name, answer in GOOD.items() if name != prompt}
    assert django_signals_rules.refusal(answers, ["extra"])


@pytest.mark.parametrize("prompt", GOOD)
@pytest.mark.parametrize("answer", ["\x1b[31m\n" * 90, "x" * 10_000, ["y"] * 500])
def test_a_refusal_is_one_short_printable_line_with_a_valid_example(
    prompt: str, answer: object
) -> None:
    sentence = refusal(**{prompt: answer})
    assert sentence
    assert sentence.isprintable()
    assert len(sentence) < 300
    example = sentence.partition(". A valid example: ")[2]
    assert example == "yes" if prompt == "extra" else refusal(**{prompt: example}) is None


def test_every_package_of_a_project_is_a_reserved_slug(bakery: Bakery) -> None:
    """A project must not depend on its own name, nor shadow what it imports."""
    packages = bakery.project(TEMPLATE.all_on()).pins()
    assert packages
    slugs = {name.replace("-", "_") for name in packages}
    assert {slug for slug in slugs if not django_signals_rules.is_reserved(slug)} == set()


def test_a_package_of_any_module_is_a_reserved_slug(copy_of_template: Template) -> None:
    """The registry lists the parts of a module; the list is in no other place."""
    settings = copy_of_template.settings
    entry = next(iter(settings["_modules"].values()))
    entry |= {"dependencies": ["Feed.Parser[fast]==6.0"], "constraints": ["sgmllib3k==1.0"]}
    change_settings(copy_of_template, settings)
    home = Home(copy_of_template.root.parent)
    for slug in ("feed_parser", "sgmllib3k"):
        outcome = home.bake("--no-input", f"project_slug={slug}", template=copy_of_template.root)
        assert outcome.status == 1
        assert f"project_slug '{slug}' is refused: the name is taken" in outcome.said
    words = ("--no-input", "project_name=Feed Parser")
    assert home.bake(*words, template=copy_of_template.root).status == 0
    assert [path.name for path in home.output.iterdir()] == ["feed_parser_project"]


def test_every_folder_of_a_project_is_a_reserved_slug(bakery: Bakery) -> None:
    files = bakery.project(TEMPLATE.all_on()).files
    folders = {file.split("/")[0] for file in files if "/" in file}
    names = {name for name in folders if re.fullmatch(r"\w+", name)}
    assert {name for name in names if not django_signals_rules.is_reserved(name)} == set()


def hostile_names() -> list[str]:
    """Names of every kind, the same in each run."""
    generator = random.Random(20)  # noqa: S311 (no secret)
    alphabet = "aZ_-9 .\u00e9\u6f22\U0001f600'\"\\/{}%#\n\t"
    made = ["".join(generator.choices(alphabet, k=generator.randint(0, 60))) for _ in range(500)]
    reserved = [*django_signals_rules.RESERVED, *keyword.kwlist, *keyword.softkwlist]
    return [*made, *reserved, *sys.stdlib_module_names, *REFUSED_SLUGS.values(), "x" * 300]


def test_a_suggested_slug_always_keeps_the_rules() -> None:
    for name in hostile_names():
        slug = django_signals_rules.usable_slug(slugify(name, separator="_"))
        assert django_signals_rules.slug_fault(slug) is None, (name, slug)


def test_a_good_slug_is_suggested_as_it_is() -> None:
    assert django_signals_rules.usable_slug("my_project") == "my_project"
