"""Runs the jobs of a project's workflow here, step by step, as a runner of the code host would.

Things that only a runner has are replaced by name: see USES, INSTALLS and SERVICES. Anything else
that is not known fails, so that no step is passed over.
"""

import itertools
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import yaml

from tests.support.programs import UV, clean_environment, run

# The files of the project are in its folder already.
USES: Final = {"actions/checkout"}
# The uv of the tests is on the path; that it is this version is tested.
INSTALLS: Final = re.compile(r"pipx install uv==([\d.]+)")
# Image of a service to the port where this machine has such a server.
SERVICES: Final = {"postgres": 5432, "redis": 6379, "rabbitmq": 5672}
KNOWN_KEYS: Final = {
    "name", "runs-on", "timeout-minutes", "strategy", "services", "env", "steps", "permissions",
}  # fmt: skip
STEP_KEYS: Final = {"name", "uses", "with", "run", "env"}


@dataclass(frozen=True)
class Job:
    """A job of a workflow with one choice of its matrix."""

    name: str
    content: Mapping[str, Any]
    matrix: Mapping[str, str]

    def __str__(self) -> str:
        return "-".join([self.name, *self.matrix.values()])

    def expand(self, text: object) -> str:
        """Fill in the expressions of a value.

        Raises:
            ValueError: when one is not about the matrix.
        """

        def value(found: re.Match[str]) -> str:
            owner, _, key = found[1].strip().partition(".")
            if owner != "matrix" or key not in self.matrix:
                raise ValueError(f"{self}: the tests do not know the expression {found[0]}")
            return self.matrix[key]

        return re.sub(r"\$\{\{(.*?)\}\}", value, str(text))

    def environment(self, step: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables that a step sees, with the address of a separate database."""
        values = {**self.content.get("env", {}), **step.get("env", {})}
        variables = {name: self.expand(value) for name, value in values.items()}
        if url := variables.get("DATABASE_URL"):
            parts = urlsplit(url)
            variables["DATABASE_URL"] = urlunsplit(parts._replace(path=f"/job_{uuid.uuid4().hex}"))
        return variables

    def unknown(self) -> list[str]:
        """List what is in the job that the tests know nothing of."""
        faults = [f"{self}: {key}" for key in self.content.keys() - KNOWN_KEYS]
        for name, service in self.content.get("services", {}).items():
            image = service["image"].partition(":")[0]
            if image not in SERVICES or service["ports"] != [
                f"{SERVICES[image]}:{SERVICES[image]}"
            ]:
                faults.append(f"{self}: the service {name}, {service['image']}")
        for step in self.content["steps"]:
            faults += [f"{self}: {key} of a step" for key in step.keys() - STEP_KEYS]
            uses = step.get("uses", "").partition("@")[0]
            if uses and uses not in USES:
                faults.append(f"{self}: uses {uses}")
            if not uses and "run" not in step:
                faults.append(f"{self}: a step that does nothing")
        return faults

    def run(self, folder: Path, *, environment: Mapping[str, str]) -> list[str]:
        """Run every step in a folder, until one fails; return what went wrong.

        Args:
            folder: the project's.
            environment: variables that win over those of the workflow.
        """
        if faults := self.unknown():
            return [f"the tests do not know {fault}" for fault in faults]
        for step in self.content["steps"]:
            if "run" not in step:
                continue
            line = self.expand(step["run"])
            if found := INSTALLS.fullmatch(line.strip()):
                version = run([UV, "--version"], folder=folder).stdout.split()[1]
                if found[1] != version:
                    return [f"{self}: {line} differs from the uv {version} of the tests"]
                continue
            variables = {**self.environment(step), "CI": "true", **environment}
            done = run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line],
                folder=folder,
                environment=clean_environment(**variables),
            )
            if done.returncode:
                said = "\n".join([done.stdout, done.stderr]).strip().splitlines()[-60:]
                return ["\n".join([f"{self}: {line} ended with {done.returncode}:", *said])]
        return []


def jobs(workflow: Path) -> Iterator[Job]:
    """Yield every job of a workflow with every choice of its matrix."""
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    for name, job in content["jobs"].items():
        matrix = job.get("strategy", {}).get("matrix", {})
        for row in itertools.product(*matrix.values()):
            yield Job(name, job, dict(zip(matrix, map(str, row), strict=True)))
