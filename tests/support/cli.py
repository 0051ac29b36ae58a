"""Cookiecutter as people run it: from the command line, with an empty home folder."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import clean_environment, run
from tests.support.template import ROOT

COOKIECUTTER = Path(sys.executable).with_name("cookiecutter")


@dataclass(frozen=True)
class Home:
    """A user's home, the folder in which cookiecutter is to put projects, and cookiecutter."""

    folder: Path
    program: Path = COOKIECUTTER

    @property
    def output(self) -> Path:
        """The folder for projects."""
        return self.folder / "output"

    @property
    def replays(self) -> Path:
        """The folder in which cookiecutter remembers answers."""
        return self.folder / ".cookiecutter_replay"

    def bake(
        self,
        *arguments: str,
        answers: str | None = None,
        output: int | None = None,
        template: str | Path = ROOT,
        **variables: str,
    ) -> "Outcome":
        """Run cookiecutter with further arguments.

        Args:
            arguments: options and answers, such as ``--no-input`` and ``audit=yes``.
            answers: what is typed.
            output: the descriptor that its standard output goes to, instead of the outcome.
            template: where the template is, as the home sees it.
            variables: further variables of the environment.
        """
        self.output.mkdir(exist_ok=True)
        command: list[str | Path] = [self.program, template, "-o", self.output, *arguments]
        environment = clean_environment(HOME=str(self.folder), COLUMNS="500", **variables)
        done = run(
            command, folder=self.folder, environment=environment, answers=answers, output=output
        )
        return Outcome(self, done.returncode, (done.stdout or "") + done.stderr)

    def left_behind(self) -> list[str]:
        """List everything that lies in the home, replays included."""
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path != self.output
        )


@dataclass(frozen=True)
class Outcome:
    """How a run of cookiecutter ended and what it said."""

    home: Home
    status: int
    said: str

    def is_clean_refusal(self) -> bool:
        """Say whether it is one sentence, exit status 1, and nothing left on disk."""
        lines = self.said.strip().splitlines()
        return self.status == 1 and len(lines) == 1 and not self.home.left_behind()
