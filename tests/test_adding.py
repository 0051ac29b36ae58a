"""Adding a module is one folder and one entry: CONTRIBUTING.md is followed to the letter.

Its example is added to a copy of the template. Modules of other kinds are added to copies of the
whole repository: there ``make draw`` does the rest, and the tests of documents and prompts pass.
"""

import shlex
import sys
from pathlib import Path

import pytest

from tests.checks import commands, content, names
from tests.checks.check import Check, expect_none
from tests.conftest import copied_template
from tests.support import repository, signal_map
from tests.support.bakery import Bakery
from tests.support.contributing import Addition, addition_of, commands_to_run, take_out
from tests.support.inventions import INVENTIONS, SMALL, WITH_EVERYTHING, WITH_TABLES
from tests.support.markdown import Document
from tests.support.programs import clean_environment, run
from tests.support.template import ROOT, TEMPLATE, Combination, Template

CONTRIBUTING = Document((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
EXAMPLE = addition_of(CONTRIBUTING)
# The modules that are there before: the repository may be one in which the steps were followed.
BEFORE = Combination(tuple(name for name in TEMPLATE.registry if name != EXAMPLE.module))

CHECKS: list[Check] = [
    content.file_set,
    content.leftovers,
    content.traces,
    names.dangling,
    commands.ruff_check,
    commands.ruff_format,
    commands.django_check,
    commands.missing_migrations,
    commands.own_checks,
]
CHECKS_OF_THE_MODULE = [*CHECKS, commands.types, commands.own_tests]

# The tests of the repository that concern documents and prompts. The tests that are left out find
# faults of the template itself.
CONCERNED = [
    "tests/test_documents.py", "tests/test_prompts.py", "tests/test_commands.py",
    "tests/test_ownership.py", "tests/test_rules.py", "tests/test_template_source.py",
    "tests/test_removal.py::test_the_readme_names_every_file_that_knows_of_the_module",
    "tests/test_signal_map.py::test_the_map_of_the_template_is_what_its_script_writes",
]  # fmt: skip
SELECTED = ["-m", "not whole", "-k", "not limit and not function and not circle"]


@pytest.fixture(scope="module")
def extended(bakery: Bakery, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A copy of the template to which one module was added as CONTRIBUTING says."""
    template = copied_template(tmp_path_factory.mktemp("extended") / "template")
    take_out(template, EXAMPLE.module)
    EXAMPLE.add_to(template)
    signal_map.draw(template, bakery.environment())
    return template


def test_the_steps_add_one_folder_and_one_entry(extended: Template) -> None:
    name = EXAMPLE.module
    folder = f"{TEMPLATE.source.name}/apps/{name}/"
    assert all(path.startswith(folder) for path in EXAMPLE.files)
    assert list(extended.registry) == [*BEFORE.modules, name]
    assert extended.prompts == [*(each for each in TEMPLATE.prompts if each != name), name]
    assert len(extended.combinations()) == 2 ** (len(BEFORE.modules) + 1)


@pytest.mark.parametrize("check", CHECKS_OF_THE_MODULE, ids=lambda check: check.__name__)
def test_the_new_module_alone(bakery: Bakery, extended: Template, check: Check) -> None:
    project = bakery.bake_once(extended, Combination((EXAMPLE.module,)))
    assert f"apps/{EXAMPLE.module}/apps.py" in project.files
    expect_none(check(project))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_all_modules_with_the_new_one(bakery: Bakery, extended: Template, check: Check) -> None:
    expect_none(check(bakery.bake_once(extended, extended.all_on())))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_all_modules_but_the_new_one(bakery: Bakery, extended: Template, check: Check) -> None:
    expect_none(check(bakery.bake_once(extended, BEFORE)))


def with_one_more(folder: Path, addition: Addition) -> Template:
    """Copy the repository into a folder and add a module to it, by hand: a folder, an entry."""
    template = repository.copied_repository(folder)
    take_out(template, addition.module)
    addition.add_to(template)
    return template


@pytest.mark.parametrize(
    "addition",
    [
        EXAMPLE,
        *(pytest.param(each, marks=pytest.mark.whole) for each in (SMALL, WITH_TABLES)),
        WITH_EVERYTHING,
    ],
    ids=lambda each: each.module,
)
def test_what_is_drawn_knows_the_new_module(
    bakery: Bakery, tmp_path: Path, addition: Addition
) -> None:
    """Everything that the scripts write names the module, and a second run changes nothing."""
    template = with_one_more(tmp_path / "clone", addition)
    before = written(template)
    repository.draw(template, bakery.environment())
    after = written(template)
    assert f"\n| `{addition.module}` | " in after["README.md"]
    assert f"\n| [`{addition.module}`](docs/modules/{addition.module}.md) | " in after["README.md"]
    assert f"── {addition.module}/ " in after["README.md"]
    assert f" {addition.module}=yes" in after[".github/workflows/ci.yml"]
    assert f"{addition.module}:" in after["docs/prompt-session.svg"].replace("&#160;", " ")
    page = after[f"docs/modules/{addition.module}.md"]
    assert f"`uvx cookiecutter . --no-input {addition.module}=yes`" in page
    assert template.registry[addition.module]["summary"] in page
    assert "\n## Taking it out\n" in page
    assert "\nLines of Python: " in page
    assert before != after
    for script, *_ in repository.scripts_of(template, "draw"):
        if script != "scripts/draw_signal_map.py":  # it has no such option: a test compares
            done = repository.script_run(template, script, "--check")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), script


def written(template: Template) -> dict[str, str]:
    """Return path and text of everything that the scripts may write."""
    patterns = (
        "README.md", ".github/workflows/*.yml", "docs/*.svg", "docs/modules/*.md", "templates/*.md",
        f"{TEMPLATE.source.name}/apps/*/README.md",
    )  # fmt: skip
    files = [path for pattern in patterns for path in template.root.glob(pattern)]
    return {
        path.relative_to(template.root).as_posix(): path.read_text(encoding="utf-8")
        for path in files
    }


@pytest.mark.whole
def test_modules_of_any_kind_pass_the_tests_of_the_repository(
    bakery: Bakery, tmp_path: Path
) -> None:
    """All at once, because each is also baked alone."""
    template = with_one_more(tmp_path / "clone", INVENTIONS[0])
    for addition in INVENTIONS[1:]:
        addition.add_to(template)
    repository.draw(template, bakery.environment())
    repository.share_environments(template)
    done = run(
        [sys.executable, "-m", "pytest", "-q", f"--basetemp={tmp_path}/run", *SELECTED, *CONCERNED],
        folder=template.root,
        environment=clean_environment(PYTHONDONTWRITEBYTECODE="1"),
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-10_000:]


@pytest.mark.whole
def test_the_steps_can_be_followed_in_a_fresh_clone(bakery: Bakery, tmp_path: Path) -> None:
    """As a person with git, make and Python does it: nothing else was installed before."""
    template = with_one_more(tmp_path / "clone", EXAMPLE)
    bakery.environment()
    repository.share_environments(template)
    (tmp_path / "home").mkdir()
    draw, test = commands_to_run(CONTRIBUTING)
    selected = shlex.join([*SELECTED, *CONCERNED, "-n2", f"--basetemp={tmp_path}/run"])
    for command in (shlex.split(draw), [*shlex.split(test), f"PYTEST_ARGS={selected}"]):
        done = run(
            command,
            folder=template.root,
            environment=repository.without_uv(tmp_path / "home"),
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-10_000:]
    assert f"| `{EXAMPLE.module}` | " in written(template)["README.md"]
