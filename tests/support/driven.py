"""Runs commands of a project's Python in one process: see driver.py."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.project import BakedProject

DRIVER = Path(__file__).resolve().with_name("driver.py")


@dataclass(frozen=True)
class Command:
    """The arguments of ``python`` and the variables that differ from those of the environment."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def run_all(project: BakedProject, commands: Sequence[Command]) -> list[CompletedProcess[str]]:
    """Run commands in a project's folder; never raises because of an exit status of theirs.

    Returns:
        How each ended, in the order of the commands.

    Raises:
        RuntimeError: when the driver itself fails, with what it said.
    """
    groups: dict[str, list[Command]] = {}
    for command in commands:
        groups.setdefault(json.dumps(sorted(command.variables.items())), []).append(command)
    work = [
        {"variables": dict(group[0].variables), "commands": [each.words for each in group]}
        for group in groups.values()
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = project.run("python", str(DRIVER), folder, answers=json.dumps(work))
        if done.returncode:
            raise RuntimeError(f"{DRIVER.name} ended with {done.returncode}:\n{done.stderr}")
        found = json.loads(Path(folder, "results.json").read_text(encoding="utf-8"))
    ended = {
        id(command): CompletedProcess(["python", *command.words], **each)
        for group, results in zip(groups.values(), found, strict=True)
        for command, each in zip(group, results, strict=True)
    }
    return [ended[id(command)] for command in commands]
