"""Reads what a project's documents and configuration name, and looks whether it exists."""

import ast
import logging
import re
import signal
import textwrap
import tomllib
from pathlib import PurePosixPath

import yaml

from tests.checks.command_lines import command, command_lines, is_command
from tests.checks.findings import Findings, Place, looks_like_a_path
from tests.support.markdown import Document
from tests.support.project import BakedProject

# Words in capitals that are neither settings nor variables.
CAPITALS = {
    *signal.Signals.__members__, *logging.getLevelNamesMapping(),
    "AND", "COMMIT", "DELETE", "DROP", "FALSE", "GET", "HEAD", "HTML", "HTTP", "HTTPS", "INSERT",
    "JSON", "NULL", "POST", "PUT", "ROLLBACK", "SELECT", "SET", "SIGKILL", "SIGTERM", "SQL",
    "TABLE", "TRUE", "UPDATE", "URL", "WHERE",
}  # fmt: skip
# Folders of a server, as documents about production name them.
MACHINE = ("/etc/", "/srv/", "/usr/", "/var/")
SHELLS = {"bash", "console", "sh", "shell"}
VARIABLE = re.compile(r"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)(?:=.*)?")
DOTTED = re.compile(r"((?:apps|config)(?:\.\w+)+)(?:\(.*\))?")


class Reader:
    """Reads the documents and the configuration of a project."""

    def __init__(self, project: BakedProject) -> None:
        self.findings = Findings(project)

    def read(self) -> Findings:
        """Read everything; return what leads nowhere and what only the running project knows."""
        for file in sorted(self.findings.project.files):
            if file.endswith(".md"):
                self.markdown(file)
            elif file.startswith(".github/workflows/"):
                self.workflow(file)
            elif file == ".pre-commit-config.yaml":
                self.hooks(file)
            elif file == ".env.example":
                self.example(file)
        return self.findings

    def markdown(self, file: str) -> None:
        """Read the links, the inline code and the blocks of a document."""
        document = Document(self.findings.project.read(file))
        for link in document.links():
            self.link(Place(file, link.line), link.text, document)
        for code in document.code():
            self.code(Place(file, code.line), code.text)
        for fence in document.fences():
            self.fence(Place(file, fence.line), fence.language, fence.text)

    def workflow(self, file: str) -> None:
        """Read the steps and the variables of a workflow."""
        place = Place(file, 0)
        for job in yaml.safe_load(self.findings.project.read(file))["jobs"].values():
            # One that names its shell is a program, which test_release_by_workflow.py runs.
            for part in [job, *(step for step in job["steps"] if "shell" not in step)]:
                for name in part.get("env", {}):
                    self.findings.variable(place, name)
                for line in command_lines(part.get("run", "")):
                    command(self.findings, place, line)

    def hooks(self, file: str) -> None:
        """Read what the hooks of pre-commit run."""
        for hook in self.findings.project.hooks():
            command(self.findings, Place(file, 0), hook["entry"])

    def example(self, file: str) -> None:
        """Read the variables of the example of an environment."""
        for number, line in enumerate(self.findings.project.read(file).splitlines(), 1):
            if found := re.match(r"#?([A-Z][A-Z0-9_]*)=", line):
                self.findings.variable(Place(file, number), found[1])
            elif line and not line.startswith("# "):
                self.findings.fault(
                    Place(file, number), f"neither a variable nor a comment: {line}"
                )
            for code in re.findall(r"`(.+?)`", line):
                self.code(Place(file, number), code)

    def link(self, place: Place, target: str, document: Document) -> None:
        """Check a link to another file or to a heading."""
        if re.match(r"(https?|mailto):", target):
            return
        path, _, anchor = target.partition("#")
        if path and not self.findings.exists(place, path):
            self.findings.fault(place, f"links to {path}, which does not exist")
        elif anchor:
            file = (PurePosixPath(place.file).parent / path).as_posix() if path else place.file
            text = self.findings.project.read(file) if path else document.text
            if line := re.fullmatch(r"L(\d+)", anchor):
                if int(line[1]) > len(text.splitlines()):
                    self.findings.fault(
                        place, f"links to line {line[1]} of {file}, which is shorter"
                    )
            elif anchor not in Document(text).anchors():
                self.findings.fault(
                    place, f"links to #{anchor} of {file}, which has no such heading"
                )

    def code(self, place: Place, code: str) -> None:
        """Check a piece of inline code, if it is something that can be checked."""
        if is_command(code):
            command(self.findings, place, code)
        elif len(code.split()) != 1:
            return
        elif found := DOTTED.fullmatch(code):
            self.findings.ask(place, "object", found[1])
        elif code.startswith(MACHINE):
            return
        elif re.fullmatch(r"/[\w<>:./-]*", code):
            self.findings.ask(place, "url", re.sub(r"<.*?>", "1", code))
        elif (found := VARIABLE.fullmatch(code)) and found[1] not in CAPITALS and len(found[1]) > 2:
            self.findings.variable(place, found[1], or_setting=True)
        elif looks_like_a_path(code):
            self.findings.path(place, code)

    def fence(self, place: Place, language: str, text: str) -> None:
        """Check a block of code, each language in its way."""
        try:
            if language in SHELLS:
                for line in command_lines(text):
                    command(self.findings, place, line)
            elif language == "python":
                self.python(place, text)
            elif language == "text":
                self.tree(place, text)
            elif language == "toml":
                tomllib.loads(text)
            elif language in ("yaml", "json"):
                yaml.safe_load(text)
            elif language in ("ini", "systemd"):
                self.unit(place, text)
            elif language == "":
                self.findings.fault(
                    place, "a block of code without its language, such as ```console"
                )
        except (SyntaxError, ValueError, yaml.YAMLError) as error:
            self.findings.fault(place, f"a block of {language} that cannot be read: {error}")

    def python(self, place: Place, text: str) -> None:
        """Check what a piece of Python imports from the project and which settings it sets."""
        for node in ast.walk(ast.parse(textwrap.dedent(text))):
            match node:
                case ast.ImportFrom(module=str(module), names=names, level=0):
                    if module.split(".")[0] in ("apps", "config"):
                        for name in names:
                            self.findings.ask(place, "object", f"{module}.{name.name}")
                case ast.Import(names=names):
                    for name in names:
                        if name.name.split(".")[0] in ("apps", "config"):
                            self.findings.ask(place, "object", name.name)
                case ast.Attribute(value=ast.Name(id="settings"), attr=attribute):
                    self.findings.variable(place, attribute, or_setting=True)
                case ast.Assign(targets=[ast.Name(id=name)]) if name.isupper():
                    self.findings.variable(place, name, or_setting=True)

    def tree(self, place: Place, text: str) -> None:
        """Check a drawing of folders and files, if it is one: indented names, then remarks."""
        rows = [
            (len(found[1]), found[2])
            for line in text.splitlines()
            if (found := re.match(r"([\s│├└─]*)(\S+)", line))
        ]
        if not any(name.endswith("/") for _, name in rows):
            return
        above: list[tuple[int, str]] = []
        for indent, name in rows:
            if name.strip("/") == self.findings.project.path.name:
                continue
            above = [(depth, folder) for depth, folder in above if depth < indent]
            path = "/".join([*(folder.strip("/") for _, folder in above), name])
            if name.endswith("/"):
                above.append((indent, name))
            self.findings.path(place, path, "draws")

    def unit(self, place: Place, text: str) -> None:
        """Check the commands and variables of a unit of systemd."""
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key.startswith("Exec"):
                program, *rest = value.split()
                command(self.findings, place, " ".join([PurePosixPath(program).name, *rest]))
            elif key == "Environment":
                self.findings.variable(place, value.strip('"').partition("=")[0], or_setting=True)
