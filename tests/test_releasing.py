"""The promises of a release, and how one is made: the steps of CONTRIBUTING.md, run once."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.cli import Home
from tests.support.markdown import Document
from tests.support.programs import clean_environment, run
from tests.support.releases import Workplace
from tests.support.repository import copied_repository
from tests.support.template import ROOT, TEMPLATE

STAYS = Document((ROOT / "docs" / "what-stays.md").read_text(encoding="utf-8")).tables()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NEXT = "9.1.0"


def promised(heading: str) -> dict[str, list[str]]:
    """Return the names in each row of a table, by the text of its first column."""
    (table,) = [table[1:] for table in STAYS if table[0][0] == heading]
    return {row[0]: re.findall(r"`(\w+)`", row[-1]) for row in table}


def test_the_promised_answers_are_asked() -> None:
    names = [name for row in promised("Answer") for name in re.findall(r"`(\w+)`", row)]
    assert set(names) <= set(TEMPLATE.prompts)
    assert set(names) >= TEMPLATE.registry.keys()


def test_the_promised_keys_are_those_that_a_module_may_have() -> None:
    (names,) = promised("Key").values()
    step = CONTRIBUTING.split("### 2. The registry")[1].split("### 3.")[0]
    assert [name for name in names if f"`{name}`" not in step] == []
    used = {key for module in TEMPLATE.registry.values() for key in module}
    assert used & set(names)


def test_the_promised_names_are_there(bakery: Bakery) -> None:
    """In a project with all modules: what is imported, what is set, what is read."""
    project = bakery.project(TEMPLATE.all_on())
    imports = promised("Import from")
    settings = promised("Where")
    lines = [f"from {path.strip('`')} import {', '.join(names)}" for path, names in imports.items()]
    lines += ["from django.conf import settings"]
    lines += [f"settings.{name}" for name in settings["`config/settings.py`"]]
    assert len(lines) > 10
    variables = {"DATABASE_URL": "sqlite:///unused.sqlite3", "DEBUG": "1"}
    expect_none(
        project.faults_of("python", "manage.py", "shell", "-c", "\n".join(lines), **variables)
    )
    example = project.read(".env.example")
    read = settings["variables of the environment"]
    assert [name for name in read if not re.search(rf"^#?{name}=", example, re.M)] == []


def newest(changelog: str) -> str:
    """Return the version of the newest release of a changelog."""
    found = re.search(r"^## (\d+\.\d+\.\d+), \d{4}-\d{2}-\d{2}$", changelog, re.M)
    assert found
    return found[1]


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["version"] == TEMPLATE.settings["_release"] == newest(changelog)


def replace(path: Path, pattern: str, new: str) -> None:
    text, number = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1, flags=re.M)
    assert number == 1, f"{path.name} has no {pattern}"
    path.write_text(text, encoding="utf-8")


@pytest.mark.whole
def test_the_steps_of_a_release(tmp_path: Path) -> None:
    """In a copy: the edits, the check of them, and the commands, less those that take long."""
    repository = copied_repository(tmp_path / "repository").root
    workplace = Workplace(tmp_path / "home")
    workplace.home.mkdir()
    workplace.git("init", "--quiet", "--bare", "origin.git", folder=tmp_path)
    workplace.commit(repository)
    workplace.git("remote", "add", "origin", str(tmp_path / "origin.git"), folder=repository)

    def checked() -> bool:
        words = ["pytest", "-q", "tests/test_releasing.py", "-k", "everywhere"]
        done = run(
            [sys.executable, "-m", *words], folder=repository, environment=clean_environment()
        )
        assert "1 passed" in done.stdout or "1 failed" in done.stdout, done.stdout + done.stderr
        return done.returncode == 0

    assert checked()
    duties = f"## {NEXT}, 2030-01-02\n\n### What a project has to do\n\nNothing.\n\n"
    replace(repository / "CHANGELOG.md", r"(?=^## \d)", duties)
    replace(repository / "pyproject.toml", r'^version = ".*"$', f'version = "{NEXT}"')
    assert not checked(), "the release that projects record is another one"
    replace(repository / "cookiecutter.json", r'"_release": ".*"', f'"_release": "{NEXT}"')
    assert checked()

    (block,) = [fence.text for fence in Document(CONTRIBUTING).fences() if "git tag" in fence.text]
    for line in block.replace("VERSION", NEXT).splitlines():
        if "make " in line:
            words = ["make", "--dry-run", *line.partition("make ")[2].split()]
            done = workplace.run(*words, folder=repository)
            assert done.returncode == 0, done.stderr
        else:
            name, *rest = re.findall(r'"[^"]*"|\S+', line)
            assert name == "git"
            workplace.git(*(word.strip('"') for word in rest), folder=repository)

    home = Home(workplace.home)
    outcome = home.bake(
        "--no-input", "--checkout", f"v{NEXT}", template=f"git+file://{tmp_path / 'origin.git'}"
    )
    assert outcome.status == 0, outcome.said
    recorded = (home.output / "my_project" / ".template.json").read_text(encoding="utf-8")
    assert json.loads(recorded)["release"] == NEXT
