"""An update path that needs git and cookiecutter only: the same result as with cruft."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bakery import Bakery
from tests.support.markdown import Document
from tests.support.project import files_in
from tests.support.releases import CruftProject, History, Workplace
from tests.support.template import TEMPLATE, Combination, Template
from tests.test_later import LATEST, age, edit, edits_in, replace

RELEASES = ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0", "v2.0.0"]
# The answers that change with each release after the first.
ANSWERS: list[dict[str, bool]] = [{"audit": True}, {}, {"welcome_email": False}, {LATEST: True}]


def another_port(template: Template) -> None:
    replace(template.source / "Dockerfile", "PORT=8000", "PORT=8001")


def a_file_that_goes(template: Template) -> None:
    (template.source / "docs" / "old.md").write_text("Gone later.\n", encoding="utf-8")
    replace(template.source / "compose.yaml", "WEB_CONCURRENCY:-2", "WEB_CONCURRENCY:-1")


def without_coverage(template: Template) -> None:
    replace(template.source / ".gitignore", ".coverage\n", "")


# Each release has what the following ones changed, the last is the template as it is.
CHANGES = [age, another_port, a_file_that_goes, without_coverage]


def named(tag: str) -> Callable[[Template], None]:
    """Return the change that gives a release its number."""

    def name(template: Template) -> None:
        path = template.root / "cookiecutter.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["_release"] = tag.removeprefix("v")
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")

    return name


def documented(project: Path) -> list[list[str]]:
    """Return the two lists of commands that the project's README has people run."""
    text = (project / "README.md").read_text(encoding="utf-8")
    blocks = [fence.text.splitlines() for fence in Document(text).fences()]
    return [block for block in blocks if any("cookiecutter ADDRESS" in line for line in block)]


def follow(
    project: CruftProject, lines: list[str], history: History, release: str, *told: str
) -> None:
    """Run commands as they are written, with the address and a release filled in."""
    number = release.removeprefix("v")
    for line in lines:
        for word in ("RELEASE", "LATER"):
            line = line.replace(word, number)
        words = shlex.split(line.replace("ADDRESS", history.address))
        if words[0] == "uvx":
            program = Path(sys.executable).with_name(words[1])
            done = project.workplace.run(program, *words[2:], *told, folder=project.path)
            assert done.returncode == 0, done.stdout + done.stderr
        elif words == ["git", "merge", "--no-edit", "template"]:
            merge(project)
        else:
            project.workplace.git(*words[1:], folder=project.path)


def merge(project: CruftProject) -> None:
    """Merge a release; keep deleted what the owners deleted, as the README says."""
    named = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    done = project.workplace.run(
        "git", *named, "merge", "--no-edit", "template", folder=project.path
    )
    if done.returncode:
        unmerged = project.workplace.git(
            "diff", "--name-only", "--diff-filter=U", folder=project.path
        )
        assert unmerged.split() == [".github/workflows/ci.yml"], done.stdout
        project.workplace.git("rm", "--quiet", *unmerged.split(), folder=project.path)
        project.workplace.git("commit", "--quiet", "--no-edit", folder=project.path)


@pytest.mark.whole
def test_five_releases_arrive_as_they_do_with_cruft(tmp_path: Path) -> None:
    """File by file, in a project with edits, with modules turned on and taken out on the way."""
    workplace = Workplace(tmp_path / "home")
    history = History(workplace, TEMPLATE, tmp_path / "template")
    history.folder.mkdir(parents=True)
    workplace.home.mkdir()
    for number, tag in enumerate(RELEASES):
        history.release(tag, *CHANGES[number:], named(tag))
    (tmp_path / "cruft").mkdir()
    (tmp_path / "git").mkdir()
    with_cruft = history.create(RELEASES[0], "profiles", "welcome_email", folder=tmp_path / "cruft")
    edit(with_cruft)
    workplace.commit(with_cruft.path)
    workplace.git("clone", "--quiet", str(with_cruft.path), "my_project", folder=tmp_path / "git")
    with_git = CruftProject(workplace, tmp_path / "git" / "my_project")
    (with_git.path / ".cruft.json").unlink()
    for key, value in {"user.name": "Ada", "user.email": "ada@example.com"}.items():
        workplace.git("config", key, value, folder=with_git.path)
    workplace.commit(with_git.path)
    begin, _ = documented(with_git.path)
    follow(with_git, begin, history, RELEASES[0])
    assert contents(with_git) == contents(with_cruft), "beginning the branch changes nothing"

    for release, answers in zip(RELEASES[1:], ANSWERS, strict=True):
        with_cruft.update(release, **answers)
        _, later = documented(with_git.path)
        told = [f"{name}={'yes' if on else 'no'}" for name, on in answers.items()]
        follow(with_git, later, history, release, *told)

        assert with_git.conflicts() == []
        assert contents(with_git) == contents(with_cruft), release
        recorded = json.loads(contents(with_git)[".template.json"])
        assert recorded["release"] == release.removeprefix("v")
    assert all(edits_in(with_git).values())
    assert workplace.git("status", "--porcelain", folder=with_git.path) == ""


def contents(project: CruftProject) -> dict[str, str]:
    """Return path to content of every file, less what cruft keeps."""
    return {
        file: (project.path / file).read_text(encoding="utf-8")
        for file in sorted(files_in(project.path) - {".cruft.json"})
    }


def test_a_project_records_the_release_and_the_answers(bakery: Bakery) -> None:
    project = bakery.project(Combination((LATEST,)))
    recorded = json.loads(project.read(".template.json"))
    assert recorded["release"] == TEMPLATE.settings["_release"]
    answers = recorded["default_context"]
    assert list(answers) == TEMPLATE.prompts
    assert {name for name, answer in answers.items() if answer is True} == {LATEST}
    assert answers["project_slug"] == "my_project"
