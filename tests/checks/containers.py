"""Whether the image and the composition of a project name only what there is."""

import re
import shlex
from typing import Any

import yaml

from tests.support.project import BakedProject
from tests.support.template import variables_read

# The readers of variables of the composition, besides the project's settings.
OTHER_READERS = {
    "POSTGRES_PASSWORD": "the image of PostgreSQL",
    "WEB_CONCURRENCY": "Gunicorn",
    "WEB_PORT": "the composition itself",
    "WEB_THREADS": "gunicorn.conf.py",
}
# Where a server's image keeps its data. PostgreSQL has another place from 18 on.
DATA = {
    r"postgres:1[0-7]": "/var/lib/postgresql/data",
    r"postgres(:(1[89]|[2-9]\d))?": "/var/lib/postgresql",
    r"redis(:\d+)?": "/data",
}
REFERENCE = re.compile(r"\$\{([A-Z_]+)(?:(:[-?])([^}]*))?\}")
DOCUMENT = "docs/production.md"


def containers(project: BakedProject) -> list[str]:
    """All files that the image copies or runs exist, and the composition fits together."""
    return [*_image(project), *_composition(project)]


def instructions(project: BakedProject) -> list[tuple[str, str]]:
    """Read the Dockerfile: each instruction's name and the rest, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", project.read("Dockerfile"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def stages(project: BakedProject) -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the Dockerfile; the last one is the image."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions(project):
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def composition(project: BakedProject) -> dict[str, Any]:
    """Read compose.yaml, with its anchors replaced by their content."""
    data: dict[str, Any] = yaml.safe_load(project.read("compose.yaml"))
    return data


def _image(project: BakedProject) -> list[str]:
    first, last = stages(project)
    faults = _stages(first, last)
    ignored = project.read(".dockerignore").splitlines()
    tested = yaml.safe_load(project.read(".github/workflows/ci.yml"))["jobs"]["tests"]
    pythons = tested["strategy"]["matrix"]["python"]
    uv = re.search(r"uv==([\d.]+)", project.read(".github/workflows/ci.yml"))
    for name, rest in [*first, *last]:
        if name == "FROM" and not any(rest.startswith(f"python:{each}-") for each in pythons):
            faults.append(f"Dockerfile starts from {rest}; the workflow tests {pythons}")
        if name == "COPY" and not rest.startswith("--from="):
            *sources, _ = rest.split()
            faults += [
                f"Dockerfile copies {source}, which does not exist"
                for source in sources
                if source != "." and "[" not in source and source not in project.files
            ]
            faults += [
                f"Dockerfile copies {source}, which .dockerignore leaves out"
                for source in sources
                if source in ignored
            ]
        if name == "RUN":
            faults += [
                f"Dockerfile installs uv {version}, the workflow another one"
                for version in re.findall(r"uv==([\d.]+)", rest)
                if uv is None or version != uv[1]
            ]
            faults += [
                f"Dockerfile installs the group {group}, which does not exist"
                for group in re.findall(r"--group (\S+)", rest)
                if group not in project.pyproject["dependency-groups"]
            ]
    if not any(name == "USER" and rest not in ("root", "0") for name, rest in last):
        faults.append("Dockerfile makes an image that runs as root")
    faults += [
        f"Dockerfile makes an image that needs the network: RUN {rest}"
        for name, rest in last
        if name == "RUN" and re.search(r"\b(uv|pip|apt-get|curl|wget)\b", rest)
    ]
    [command] = [rest for name, rest in last if name == "CMD"]
    return faults + _program(project, "Dockerfile", yaml.safe_load(command))


def _stages(first: list[tuple[str, str]], last: list[tuple[str, str]]) -> list[str]:
    """Check that the image takes the project from where it was made and runs it as its owner."""
    made, kept = _folder(first), _folder(last)
    faults = [
        f"Dockerfile takes {source} along; the project is made in {made}"
        for name, rest in last
        if name == "COPY"
        for _, source, _ in [rest.split()]
        if source != made
    ]
    if made != kept:
        faults.append(f"Dockerfile moves what was made in {made} to {kept}")
    path = " ".join(rest for name, rest in last if name == "ENV")
    if f"PATH={made}/.venv/bin:" not in path:
        faults.append(f"Dockerfile has another PATH than the environment of {made}")
    commands = " ".join(rest for name, rest in last if name == "RUN")
    [user] = [rest for name, rest in last if name == "USER"]
    account = re.search(r"useradd .*--uid (\d+) .*?(\w+) &&", commands)
    if account is None or account[1] != user:
        faults.append(f"Dockerfile makes no account for {user}")
    if account is None or f"--owner={account[2]} {kept}/var" not in commands:
        faults.append(f"Dockerfile makes no folder {kept}/var that the program may write to")
    return faults


def _composition(project: BakedProject) -> list[str]:
    data = composition(project)
    services: dict[str, Any] = data["services"]
    writable = f"{_folder(stages(project)[-1])}/var"
    faults = []
    for name, service in services.items():
        faults += _order(name, services)
        faults += [
            f"compose.yaml: {name} keeps nothing, its data are in {folder}"
            for image, folder in DATA.items()
            if re.fullmatch(image, service["image"].partition("@")[0])
            and not any(volume.endswith(f":{folder}") for volume in service.get("volumes", []))
        ]
        faults += [
            f"compose.yaml: {name} mounts {volume}, which is not declared"
            for volume in service.get("volumes", [])
            if volume.partition(":")[0] not in data["volumes"]
        ]
        faults += [
            f"compose.yaml: {name} is reached from everywhere at {port}"
            for port in service.get("ports", [])
            if not port.startswith("127.0.0.1:")
        ]
        if "build" not in service and not re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"]):
            faults.append(f"compose.yaml: {name} has an image without a version")
        if "build" in service:
            faults += _program(project, f"compose.yaml: {name}", service.get("command", []))
            faults += _application(project, name, service, services)
            folders = [volume.partition(":")[2] for volume in service["volumes"]]
            if folders != [writable]:
                faults.append(f"compose.yaml: {name} writes to {folders}, not to var")
    used = {
        part.partition(":")[0] for each in services.values() for part in each.get("volumes", [])
    }
    faults += [
        f"compose.yaml declares {volume}, which nothing mounts"
        for volume in data["volumes"]
        if volume not in used
    ]
    return faults + _undocumented(project)


def _undocumented(project: BakedProject) -> list[str]:
    document = project.read(DOCUMENT)
    return [
        f"compose.yaml asks for {variable}, of which {DOCUMENT} does not tell"
        for variable, _, _ in REFERENCE.findall(project.read("compose.yaml"))
        if f"`{variable}`" not in document
    ]


def _folder(stage: list[tuple[str, str]]) -> str:
    """Return the folder in which a stage has the project."""
    [folder] = [rest for name, rest in stage if name == "WORKDIR"]
    return folder


def _application(
    project: BakedProject, name: str, service: dict[str, Any], services: dict[str, Any]
) -> list[str]:
    """Check what is set for a container of the project itself."""
    read = variables_read(project.read("config/settings.py"))
    faults = []
    for variable, value in service["environment"].items():
        if variable not in read and variable not in OTHER_READERS:
            faults.append(f"compose.yaml sets {variable} for {name}, which nothing reads")
        host = re.match(r"\w+://(?:[^@/]*@)?([a-z]\w*):\d+", REFERENCE.sub("x", str(value)))
        if host and variable != "EMAIL_URL" and host[1] not in services:
            faults.append(f"compose.yaml: {variable} leads {name} to {host[1]}, which is not there")
    if "DEBUG" in service["environment"]:
        faults.append(f"compose.yaml sets DEBUG for {name}")
    return faults


def _program(project: BakedProject, who: str, command: list[str]) -> list[str]:
    if not command:
        return []
    program, *arguments = command
    faults = []
    if not project.environment.program(program).exists():
        faults.append(f"{who} runs {shlex.join(command)}, but no package brings {program}")
    faults += [
        f"{who} runs {shlex.join(command)}, but there is no {argument}"
        for argument in arguments
        if argument.endswith(".py") and argument not in project.files
    ]
    return faults


def _order(name: str, services: dict[str, Any]) -> list[str]:
    """Say what a service waits for in vain, or does not wait for long enough."""
    awaited: dict[str, Any] = services[name].get("depends_on", {})
    return [
        *(
            f"compose.yaml: {name} waits for {other}, which does not exist"
            for other in awaited
            if other not in services
        ),
        *(
            f"compose.yaml: {name} waits until {other} is healthy, but nothing asks it"
            for other, how in awaited.items()
            if how["condition"] == "service_healthy"
            and "healthcheck" not in services.get(other, {})
        ),
        *(
            f"compose.yaml: {name} starts before {other} has ended"
            for other, how in awaited.items()
            if services.get(other, {}).get("restart") == "no"
            and how["condition"] != "service_completed_successfully"
        ),
    ]
