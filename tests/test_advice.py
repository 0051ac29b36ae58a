"""These tests follow the advice that messages and documents give. It has to work."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import UnknownRepoType
from cookiecutter.vcs import identify_repo

from scripts import new
from tests.support.bakery import Bakery
from tests.support.cli import Home
from tests.support.programs import UV, clean_environment, run
from tests.support.releases import NEW, OLD, History, Workplace
from tests.support.template import ROOT, TEMPLATE, Combination
from tests.test_without_cruft import named

NONE = Combination(())


def test_cookiecutter_takes_the_addresses_of_the_documents() -> None:
    texts = [file.read_text(encoding="utf-8") for file in ROOT.glob("*.md")]
    texts += [file.read_text(encoding="utf-8") for file in ROOT.glob("docs/*.md")]
    addresses = {found for text in texts for found in re.findall(r"\S+/cookiecutter-\S+", text)}
    assert addresses
    assert {identify_repo(address.strip("`"))[0] for address in addresses} == {"git"}


def test_what_the_readme_says_of_addresses_is_right() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "when it has the letters git in it, or begins with `git+`" in readme
    with pytest.raises(UnknownRepoType):
        identify_repo("https://code.example.com/you/signals")
    assert identify_repo("git+https://code.example.com/you/signals")[0] == "git"


def test_a_release_is_baked_again_as_the_refusal_of_a_replay_says(tmp_path: Path) -> None:
    """By checking its tag out in a folder, where --checkout does nothing; or from an address."""
    workplace = Workplace(tmp_path / "home")
    history = History(workplace, TEMPLATE, tmp_path / "template")
    for folder in (workplace.home, history.folder):
        folder.mkdir()
    home = Home(workplace.home)
    history.release(OLD, named(OLD))
    assert home.bake("--no-input", "profiles=yes", template=history.folder).status == 0
    project = home.output / "my_project"
    shutil.rmtree(project)
    history.release(NEW, named(NEW))

    refused = home.bake("--replay", template=history.folder)
    assert refused.status == 1
    advice = (
        "bake that release: --checkout and its tag with the address of the template,"
        " git checkout and its tag in a folder that holds it."
    )
    assert advice in refused.said
    assert home.bake("--replay", "--checkout", OLD, template=history.folder).status == 1

    workplace.git("checkout", "--quiet", OLD, folder=history.folder)
    outcome = home.bake("--replay", template=history.folder)
    assert outcome.status == 0, outcome.said
    recorded = json.loads((project / ".template.json").read_text(encoding="utf-8"))
    assert (f"v{recorded['release']}", recorded["default_context"]["profiles"]) == (OLD, True)

    shutil.rmtree(project)
    outcome = home.bake("--no-input", "--checkout", NEW, template=history.address)
    assert outcome.status == 0, outcome.said
    recorded = json.loads((project / ".template.json").read_text(encoding="utf-8"))
    assert f"v{recorded['release']}" == NEW


def test_the_workflow_runs_on_the_branches_that_the_readme_names(bakery: Bakery) -> None:
    """git calls the first branch ``master`` unless it was told another name."""
    project = bakery.project(NONE)
    (sentence,) = re.findall(r"on every push to (.+?) and", project.read("README.md"))
    # YAML takes the word on for true.
    events = yaml.safe_load(project.read(".github/workflows/ci.yml"))[True]
    branches = re.findall(r"`(\w+)`", sentence)
    assert branches == events["push"]["branches"] == ["main", "master"]


def starts(project: Path, program: str) -> bool:
    """Say whether a program of a project's environment can be started by its name."""
    try:
        done = run([project / ".venv" / "bin" / program, "--version"], folder=project)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def follow(project: Path, command: str) -> None:
    """Run a command of uv as it is written."""
    program, *words = command.split()
    assert program == "uv"
    done = run([UV, *words], folder=project, environment=clean_environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.whole
def test_a_project_that_was_moved_is_repaired_as_its_readme_says(
    bakery: Bakery, tmp_path: Path
) -> None:
    """Programs of the environment hold the path of their Python."""
    (tmp_path / "before").mkdir()
    project = bakery.installed_copy(bakery.project(NONE), tmp_path / "before" / "my_project").path
    assert starts(project, "pytest")
    moved = Path(shutil.move(project, tmp_path / "moved"))
    assert not starts(moved, "pytest")
    advice = "delete the folder, then run `uv sync`"
    assert advice in (moved / "README.md").read_text(encoding="utf-8")

    shutil.rmtree(moved / ".venv")
    follow(moved, "uv sync")

    assert starts(moved, "pytest")


@pytest.mark.whole
def test_a_failed_installation_is_ended_as_the_message_says(
    bakery: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bakery.copy(bakery.project(NONE), tmp_path / "my_project")
    monkeypatch.setenv("UV", "false")
    with pytest.raises(SystemExit) as refused:
        new.prepare(project.path, without=[])
    (commands,) = re.findall(r"run there: (.+?)\. Or delete", str(refused.value))
    assert commands == "uv sync, then uv run manage.py migrate"
    for command in commands.split(", then "):
        follow(project.path, command)
    follow(project.path, "uv run manage.py migrate --check")
