"""The paths, variables, pages and commands of a project, which texts may name."""

import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from subprocess import CompletedProcess

from tests.checks.containers import OTHER_READERS
from tests.support.project import BakedProject
from tests.support.template import variables_read

ASK_DJANGO = Path(__file__).resolve().parent.parent / "support" / "ask_django.py"

# Documents may name these paths although a bake may lack them. Django or the kit look for some in
# an app. Others come from cruft, from uv, or from the command of the README that makes an app.
CONVENTIONS = {".cruft.json", "apps/shop", "receivers.py", "signals.py", "tasks.py", "uv.lock"}
SUFFIXES = (
    "py", "toml", "md", "yml", "yaml", "html", "txt", "css", "svg", "sqlite3", "lock", "json",
    "env", "example", "cfg", "ini",
)  # fmt: skip
PATH = re.compile(r"\.{0,2}[\w./<>*-]+")


@dataclass(frozen=True)
class Place:
    """Where something is named."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Question:
    """Something that only the running project can answer: see ask_django.py."""

    place: Place
    kind: str
    value: str
    options: tuple[str, ...] = ()


class Findings:
    """Looks up what is named in a project, and collects what leads nowhere."""

    def __init__(self, project: BakedProject) -> None:
        self.project = project
        self.faults: list[str] = []
        self.questions: list[Question] = []
        self.paths = project.files | {
            str(parent) for file in project.files for parent in PurePosixPath(file).parents
        }
        self.ignored = [
            line.rstrip("/")
            for line in project.read(".gitignore").splitlines()
            if line and not line.startswith("#")
        ]
        python = [text for file, text in project.texts().items() if file.endswith(".py")]
        self.variables = set().union(*map(variables_read, python))
        # The composition and the programs that it starts read further ones.
        self.variables |= {*OTHER_READERS, "PORT"}
        self.variables |= set(re.findall(r"\$\{([A-Z_]+)", project.read("compose.yaml")))
        # So does a workflow, from the settings of the repository at the code host.
        for file in project.files:
            if file.startswith(".github/workflows/"):
                self.variables |= set(
                    re.findall(r"\b(?:vars|secrets)\.([A-Z_]+)", project.read(file))
                )

    def fault(self, place: Place, sentence: str) -> None:
        """Note that something is wrong."""
        self.faults.append(f"{place}: {sentence}")

    def ask(self, place: Place, kind: str, value: str, *options: str) -> None:
        """Note a question for the running project."""
        self.questions.append(Question(place, kind, value, options))

    def path(self, place: Place, path: str, verb: str = "names the path") -> None:
        """Check that a path leads somewhere."""
        if not self.exists(place, path):
            self.fault(place, f"{verb} {path}, which does not exist")

    def exists(self, place: Place, path: str) -> bool:
        """Say whether a path names a file, a folder or something that git ignores.

        It counts from the document's folder or from the project's; a bare file name
        may be anywhere.
        """
        pattern = re.sub(r"<.*?>", "*", path).removeprefix("./")
        name = pattern.rstrip("/")
        near = (PurePosixPath(place.file).parent / name).as_posix()
        candidates = {_without_dots(near), name}
        return (
            any(fnmatch.filter(self.paths, candidate) for candidate in candidates)
            or any(
                fnmatch.fnmatch(part, rule)
                for rule in self.ignored
                for part in [name, *name.split("/")]
            )
            or ("/" not in path and any(PurePosixPath(file).name == name for file in self.paths))
            or name in CONVENTIONS
        )

    def variable(self, place: Place, name: str, *, or_setting: bool = False) -> None:
        """Check that the project reads a variable of the environment, or has such a setting."""
        if name in self.variables or name.startswith(("UV_", "GITHUB_")):
            return
        if or_setting:
            self.ask(place, "setting", name)
        else:
            self.fault(place, f"names the variable {name}, which nothing reads")

    def command(self) -> tuple[str, ...]:
        """Return the command that puts all questions to the running project at once."""
        questions = [
            {"kind": question.kind, "value": question.value, "options": question.options}
            for question in self.questions
        ]
        return str(ASK_DJANGO), json.dumps(questions)

    def answers(self, done: CompletedProcess[str]) -> list[str]:
        """Return a sentence for each question whose answer, printed by the command, is no."""
        if done.returncode:
            return [f"the project cannot be asked:\n{done.stderr}"]
        return [
            f"{question.place}: {answer}"
            for question, answer in zip(self.questions, json.loads(done.stdout), strict=True)
            if answer
        ]


def looks_like_a_path(word: str) -> bool:
    """Say whether a word can only be a path."""
    if word.startswith("-") or "://" in word or re.match(r"(application|image|text)/\w", word):
        return False
    suffix = word.rpartition(".")[2]
    return bool(PATH.fullmatch(word)) and (
        "/" in word.strip("/") or word.endswith("/") or ("." in word and suffix in SUFFIXES)
    )


def _without_dots(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
