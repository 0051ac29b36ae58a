"""A template with a history, and cruft as people run it on a project that came from it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import clean_environment, run
from tests.support.project import BakedProject, files_in
from tests.support.template import PARTS, Combination, Template

CRUFT = Path(sys.executable).with_name("cruft")
OLD, NEW = "v1.0.0", "v1.1.0"


@dataclass(frozen=True)
class Workplace:
    """A person's machine: a home with nothing in it, git and cruft."""

    home: Path
    cruft_program: Path = CRUFT

    def run(self, *command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command without the configuration that the developer's own git has."""
        return run(
            command,
            folder=folder,
            environment=clean_environment(
                HOME=str(self.home),
                GIT_CONFIG_GLOBAL=str(self.home / "gitconfig"),
                GIT_CONFIG_NOSYSTEM="1",
                COLUMNS="500",
                PYTHONDONTWRITEBYTECODE="",  # as everywhere: what is compiled must not go stale
            ),
        )

    def git(self, *words: str, folder: Path) -> str:
        """Run git; return what it says.

        Raises:
            AssertionError: when it fails.
        """
        named = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        done = self.run("git", *named, *words, folder=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, folder: Path) -> None:
        """Commit everything that is in a folder, which becomes a repository if it is none."""
        if not (folder / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main", folder=folder)
        self.git("add", "--all", folder=folder)
        self.git("commit", "--quiet", "--allow-empty", "--message=Change", folder=folder)

    def cruft(self, *words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run cruft, also when it fails."""
        return self.run(self.cruft_program, *words, folder=folder)


@dataclass(frozen=True)
class History:
    """A template of two releases: one like an earlier one, and the template as it is here."""

    workplace: Workplace
    template: Template
    folder: Path

    def build(self, age: Callable[[Template], None]) -> None:
        """Make the repository: the aged template, tagged, then the template itself, tagged.

        Args:
            age: turns a copy of the template into what an earlier release may have been.
        """
        self.folder.mkdir(parents=True)
        self.release(OLD, age)
        self.release(NEW)

    def release(self, tag: str, *changes: Callable[[Template], None]) -> None:
        """Commit and tag the template with some changes, in place of what was there."""
        for part in PARTS:
            path = self.folder / part
            if path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._copy_parts()
        for change in changes:
            change(Template(self.folder))
        self.workplace.commit(self.folder)
        self.workplace.git("tag", tag, folder=self.folder)

    @property
    def address(self) -> str:
        """The address of the repository, as cookiecutter takes it."""
        return f"git+file://{self.folder}"

    def create(self, release: str, *modules: str, folder: Path) -> "CruftProject":
        """Create a project at a release with some modules on, and commit it."""
        done = self.workplace.cruft(
            "create", self.folder, "--no-input", f"--checkout={release}", "--output-dir", folder,
            "--extra-context", json.dumps(dict.fromkeys(modules, True)), folder=folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        project = CruftProject(self.workplace, folder / "my_project")
        self.workplace.commit(project.path)
        return project

    def _copy_parts(self) -> None:
        ignored = shutil.ignore_patterns("__pycache__")
        for part in PARTS:
            source, target = self.template.root / part, self.folder / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)


@dataclass(frozen=True)
class CruftProject:
    """A project that somebody made with cruft."""

    workplace: Workplace
    path: Path

    def update(self, release: str = NEW, /, **answers: bool | str) -> None:
        """Run what the documents say, and expect a clean merge; then commit it."""
        words = ["update", "--skip-apply-ask", f"--checkout={release}"]
        if answers:
            words += ["--variables-to-update", json.dumps(answers)]
        done = self.workplace.cruft(*words, folder=self.path)
        assert done.returncode == 0, done.stderr
        assert "Good work!" in done.stdout, done.stdout
        assert "is ready in" not in done.stdout, "the closing message names a folder that is gone"
        conflicts = self.conflicts()
        assert conflicts == [], f"{conflicts}\n{done.stderr}"
        self.workplace.commit(self.path)

    def conflicts(self) -> list[str]:
        """List what an update could not merge: rejected pieces, unmerged files, marks in files."""
        unmerged = self.workplace.git("diff", "--name-only", "--diff-filter=U", folder=self.path)
        rejected = [path.name for path in self.path.rglob("*.rej")]
        marked = self.workplace.run("git", "grep", "-lE", "^(<{7}|>{7}) ", folder=self.path)
        return [*rejected, *unmerged.split(), *marked.stdout.split()]

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file by hand."""
        path = self.path / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def write(self, file: str, text: str) -> None:
        """Add a file by hand."""
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def answers(self) -> dict[str, object]:
        """Return what cruft remembers of the answers."""
        context = json.loads((self.path / ".cruft.json").read_text(encoding="utf-8"))["context"]
        answers: dict[str, object] = context["cookiecutter"]
        return answers

    def differences(self, baked: BakedProject) -> list[str]:
        """List the files that differ from a bake with the same answers, or that one of both has."""
        own = files_in(self.path) - {".cruft.json"}
        texts = baked.texts()
        return sorted(
            (own ^ baked.files)
            | {
                file
                for file in own & baked.files
                if (self.path / file).read_text(encoding="utf-8") != texts[file]
            }
        )

    def as_baked(self, like: BakedProject, combination: Combination) -> BakedProject:
        """Return the project in the form that the checks look at."""
        files = files_in(self.path) - {".cruft.json"}  # cruft's own, which no bake writes
        return BakedProject(self.path, like.template, combination, files, like.environment)
