"""The workflow that opens a pull request with a later release, as far as it goes on one machine.

The steps of its shell are run as they are written. Two programs are replaced: ``gh``, which
writes down what it is told, and ``uvx``, which is the cookiecutter of the tests.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.support.programs import run
from tests.support.releases import CruftProject, History, Workplace
from tests.support.template import TEMPLATE
from tests.test_later import LATEST, age, edit, edits_in
from tests.test_without_cruft import another_port, documented, follow, merge, named

WORKFLOW = ".github/workflows/template.yml"
FIRST, SECOND, THIRD = "v1.0.0", "v1.9.0", "v1.10.0"
GH = '#!/bin/sh\nfor word in "$@"; do echo "$word"; done >> "$TOLD"\n'
UVX = f'#!/bin/sh\nshift\nexec "{Path(sys.executable).with_name("cookiecutter")}" "$@"\n'


@dataclass(frozen=True)
class Forge:
    """A project on a code host, which is a bare repository here, and the template it came from."""

    folder: Path
    history: History
    project: CruftProject

    @property
    def told(self) -> list[str]:
        """The arguments that ``gh`` got, word by word."""
        path = self.folder / "told"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def start(self, **variables: str) -> CompletedProcess[str]:
        """Run the workflow in a new clone, as a runner does."""
        clone = self.folder / f"run {len(list(self.folder.glob('run *')))}" / "clone"
        workplace = self.project.workplace
        workplace.git("clone", "--quiet", str(self.origin), str(clone), folder=self.folder)
        workflow = yaml.safe_load((clone / WORKFLOW).read_text(encoding="utf-8"))
        (job,) = workflow["jobs"].values()
        assert job["if"] == "vars.TEMPLATE_URL != ''"
        *_, step = job["steps"]
        names = {name: value for name, value in step["env"].items() if name.startswith("GIT_")}
        environment = {
            **names, "TEMPLATE_URL": self.history.address, "GH_TOKEN": "x",
            "TOLD": str(self.folder / "told"), "HOME": str(workplace.home),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", **variables,
        }  # fmt: skip
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return run(command, folder=clone, environment=environment)

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    def branches(self) -> set[str]:
        said = self.project.workplace.git(
            "ls-remote", "--heads", "origin", folder=self.project.path
        )
        return {line.rpartition("refs/heads/")[2] for line in said.splitlines()}


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    """A project of the first release with edits, pushed; there is no later release yet."""
    workplace = Workplace(tmp_path / "home")
    history = History(workplace, TEMPLATE, tmp_path / "template")
    for folder in (workplace.home, history.folder, tmp_path / "bin"):
        folder.mkdir()
    for name, text in {"gh": GH, "uvx": UVX}.items():
        (tmp_path / "bin" / name).write_text(text, encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    history.release(FIRST, age, another_port, named(FIRST))
    project = history.create(FIRST, "profiles", folder=tmp_path)
    (project.path / ".cruft.json").unlink()
    edit(project)
    for key, value in {"user.name": "Ada", "user.email": "ada@example.com"}.items():
        workplace.git("config", key, value, folder=project.path)
    workplace.commit(project.path)
    workplace.git(
        "init", "--quiet", "--bare", "--initial-branch=main", "origin.git", folder=tmp_path
    )
    workplace.git("remote", "add", "origin", str(tmp_path / "origin.git"), folder=project.path)
    workplace.git("push", "--quiet", "origin", "main", folder=project.path)
    return Forge(tmp_path, history, project)


def begin(forge: Forge) -> None:
    """Do what the README has people do once."""
    lines, _ = documented(forge.project.path)
    follow(forge.project, lines, forge.history, FIRST)
    git = forge.project.workplace.git
    git("push", "--quiet", "origin", "HEAD", "template", folder=forge.project.path)


@pytest.mark.whole
def test_a_later_release_becomes_a_pull_request(forge: Forge) -> None:
    """The newest by number, and once. The merge holds the release and the project's edits."""
    begin(forge)
    assert "There is no later release than v1.0.0." in forge.start().stdout
    forge.history.release(SECOND, age, named(SECOND))
    forge.history.release(THIRD, named(THIRD))
    # Other tags of people are no releases.
    for tag in ("v2", "v2.0.0-rc1", "template-v3.0.0"):
        forge.project.workplace.git("tag", tag, folder=forge.history.folder)

    done = forge.start()

    assert done.returncode == 0, done.stdout + done.stderr
    assert forge.branches() == {"main", "template", f"template-{THIRD}"}
    assert forge.told[-7:-1] == ["create", "--head", "template-v1.10.0", "--title", "Template 1.10.0", "--body"]  # fmt: skip
    again = forge.start()
    assert "The branch template-v1.10.0 is there already." in again.stdout
    assert forge.told.count("create") == 1
    git = forge.project.workplace.git
    git("push", "--quiet", "origin", "--delete", f"template-{THIRD}", folder=forge.project.path)
    done = forge.start()
    assert done.returncode == 0, done.stdout + done.stderr
    assert forge.told.count("create") == 2

    project = forge.project
    git("fetch", "--quiet", "origin", folder=project.path)
    git("branch", "--force", "pulled", f"origin/template-{THIRD}", folder=project.path)
    worktree = git("worktree", "list", "--porcelain", folder=project.path).split("worktree ")[-1]
    git("worktree", "remove", "--force", worktree.splitlines()[0], folder=project.path)
    git("branch", "--force", "template", "pulled", folder=project.path)
    merge(project)
    assert project.conflicts() == []
    assert all(edits_in(project).values()), edits_in(project)
    assert '"release": "1.10.0"' in (project.path / ".template.json").read_text(encoding="utf-8")
    assert not (project.path / "apps" / "core" / "old.py").exists()
    assert not (project.path / "apps" / LATEST).exists()
    author = git("log", "-1", "--format=%an", "template", folder=project.path)
    assert author.strip() == "github-actions[bot]"


@pytest.mark.whole
def test_what_is_missing_is_said_and_nothing_is_pushed(forge: Forge) -> None:
    forge.history.release(SECOND, named(SECOND))
    without_branch = forge.start()
    assert without_branch.returncode == 1
    assert "There is no branch template. Begin it as README.md says" in without_branch.stdout
    without_token = forge.start(GH_TOKEN="")
    assert without_token.returncode != 0
    assert "the repository needs the secret TEMPLATE_TOKEN" in without_token.stderr
    without_template = forge.start(TEMPLATE_URL=f"file://{forge.folder}/lost")
    assert without_template.returncode != 0
    assert forge.branches() == {"main"}
    assert "create" not in forge.told
