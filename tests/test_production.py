"""The image of a project, as far as it can be built and started without a container engine."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.checks import containers
from tests.checks.check import expect_none
from tests.checks.containers import REFERENCE, composition, instructions, stages
from tests.checks.inside import PRODUCTION
from tests.support.bakery import Bakery, own_environment
from tests.support.programs import HANGS, clean_environment, run
from tests.support.project import BakedProject
from tests.support.template import TEMPLATE, Combination

ALL_ON_AND_OFF = [TEMPLATE.all_on(), Combination(())]
HOST = "www.example.com"
NEVER_IN_AN_IMAGE = [".env", "db.sqlite3", "db.sqlite3-wal", "var/media/x", ".git/config"]


@pytest.fixture(params=ALL_ON_AND_OFF, ids=str)
def project(request: pytest.FixtureRequest, bakery: Bakery) -> BakedProject:
    """A baked project that no test changes."""
    return bakery.project(request.param)


def test_the_linter_of_images_has_nothing_to_say(project: BakedProject) -> None:
    hadolint = shutil.which("hadolint")
    assert hadolint
    done = run([hadolint, "--no-color", "Dockerfile"], folder=project.path)
    assert done.returncode == 0, done.stdout


@pytest.mark.whole
def test_what_the_image_does_can_be_done(
    bakery: Bakery, project: BakedProject, tmp_path: Path
) -> None:
    """Do the steps of the image in a folder, start it as the composition does, and look at it."""
    root = tmp_path / "srv" / "app"
    root.mkdir(parents=True)
    assert not containers.containers(project)
    project = bakery.copy(project, tmp_path / "clone")
    add_private_files(project.path)
    for name, rest in stages(project)[0]:
        if name == "COPY":
            copy(project, rest, root)
        elif name == "RUN" and "uv sync" in rest:
            done = run(["sh", "-c", on_this_machine(rest)], folder=root)
            assert done.returncode == 0, done.stderr
        elif name == "RUN" and "pip install" not in rest:
            done = run(["sh", "-c", rest], folder=root)
            assert done.returncode == 0, done.stderr
    assert [file for file in NEVER_IN_AN_IMAGE if (root / file).exists()] == []
    # The user of the image owns none of it.
    for path in [root, *root.rglob("*")]:
        needed = 0o005 if path.is_dir() else 0o004
        assert path.is_symlink() or path.stat().st_mode & needed == needed, path
    with served(root, settings_of(project, root)) as (address, log):
        status, health = get(f"{address}/health/", "10.0.0.1")
        assert (status, json.loads(health)["database"]) == (200, "ok")
        asked = composition(project)["services"]["web"]["healthcheck"]["test"]
        assert asked[0] == "CMD"
        asked = [word.replace("http://127.0.0.1:8000", address) for word in asked[1:]]
        assert any(address in word for word in asked)
        done = run([own_environment(root).program(asked[0]), *asked[1:]], folder=root)
        assert done.returncode == 0, done.stderr
        status, page = get(f"{address}/", HOST)
        assert status == 200
        [style] = re.findall(r'href="(/static/core/site\.\w+\.css)"', page)
        assert get(f"{address}{style}", HOST)[0] == 200
        assert get(f"{address}/", "elsewhere.example.com")[0] == 400
    lines = log.read_text(encoding="utf-8").splitlines()
    assert all(yaml.safe_load(line)["logger"] for line in lines), lines
    assert any('"route": "/"' in line for line in lines)
    assert not any("/health/" in line for line in lines)


def add_private_files(folder: Path) -> None:
    """Add what no image may have, and let only the owner read anything, as with a strict umask."""
    for file in NEVER_IN_AN_IMAGE:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("SECRET_KEY=of-development", encoding="utf-8")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def on_this_machine(command: str) -> str:
    """Take from a command what only a container engine understands."""
    return re.sub(r"--mount=\S+\s*", "", command)


def copy(project: BakedProject, arguments: str, root: Path) -> None:
    """Copy files of the project as the image does, less what .dockerignore names."""
    ignored = project.read(".dockerignore").split()
    *sources, _ = shlex.split(arguments)
    for source in sources:
        if source == ".":
            patterns = [line.removeprefix("**/").rstrip("/") for line in ignored]
            leave_out = shutil.ignore_patterns(*patterns)
            shutil.copytree(project.path, root, ignore=leave_out, dirs_exist_ok=True)
        elif "[" not in source:
            shutil.copy(project.path / source, root)


def settings_of(project: BakedProject, root: Path) -> dict[str, str]:
    """Return the environment of the web server's container, with SQLite as its database."""
    given = {"ALLOWED_HOSTS": HOST, "SECURE_SSL_REDIRECT": "0", "EMAIL_URL": "memorymail://"}
    given["SECRET_KEY"] = "a-key-for-the-tests-of-the-template-which-is-long-enough-0123456789"
    service = composition(project)["services"]["web"]

    def value(found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        return given.get(name, (default or "") if kind == ":-" else "letters")

    environment = {
        name: REFERENCE.sub(value, str(text)) for name, text in service["environment"].items()
    }
    return environment | {"DATABASE_URL": f"sqlite:///{root}/image.sqlite3"}


@contextmanager
def served(root: Path, variables: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """Run the command of the image; give its address and its log. It has to end by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = clean_environment(**variables, PORT=str(port))
    environment["PATH"] = f"{own_environment(root).program('')}{os.pathsep}{environment['PATH']}"
    done = run(
        ["python", "manage.py", "migrate", "--no-input"], folder=root, environment=environment
    )
    assert done.returncode == 0, done.stderr
    log = root.parent / "log"
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [own_environment(root).program("gunicorn")],
            cwd=root,
            env=environment,
            stdout=output,
            stderr=output,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            try:
                get(f"{address}/health/live/", "10.0.0.1")
                break
            except OSError:
                time.sleep(0.1)
        yield address, log
        server.send_signal(signal.SIGTERM)
        assert server.wait(HANGS) == 0
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_any_server_finds_the_settings(bakery: Bakery, server: str) -> None:
    project = bakery.project(Combination(()))
    code = f"import config.{server}, os; print(os.environ['DJANGO_SETTINGS_MODULE'])"
    done = project.run("python", "-c", code, **PRODUCTION)
    assert done.stdout == "config.settings\n", done.stderr


def test_gunicorn_believes_no_proxy_by_itself(bakery: Bakery) -> None:
    """BEHIND_PROXY says whether a header is believed; anybody can send one."""
    assert configured(bakery.project(Combination(())), "forwarded_allow_ips") == "[]"


def bound(project: BakedProject, **variables: str) -> str:
    """Return the address that Gunicorn takes from its configuration."""
    return configured(project, "bind", **variables)


def configured(project: BakedProject, setting: str, **variables: str) -> str:
    """Return what Gunicorn takes from its configuration for one of its settings."""
    done = project.run("gunicorn", "--print-config", **PRODUCTION, **variables)
    assert done.returncode == 0, done.stderr
    [value] = re.findall(rf"^{setting}\s+= (.*)$", done.stdout, re.M)
    return str(value)


def test_only_the_image_listens_to_other_machines(bakery: Bakery) -> None:
    project = bakery.project(Combination(()))
    assert bound(project) == "['127.0.0.1:8000']"
    assert bound(project, PORT="9000") == "['127.0.0.1:9000']"
    image = dict(
        pair.split("=", 1)
        for name, rest in instructions(project)
        if name == "ENV"
        for pair in rest.split()
        if not pair.startswith("PATH=")
    )
    assert bound(project, **image) == "['0.0.0.0:8000']"


def test_the_line_for_cron_has_the_environment_of_the_server(
    bakery: Bakery, tmp_path: Path
) -> None:
    """Run it as cron does: by sh, with nothing in the environment."""
    project = bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")
    (project.path / ".venv").symlink_to(project.environment.folder)
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'database.sqlite3'}"}
    expect_none(project.faults_of("python", "manage.py", "migrate", "-v0", **database))
    variables = PRODUCTION | database | {"SECRET_KEY": f"${PRODUCTION['SECRET_KEY']}"}
    (tmp_path / "environment").write_text(
        "".join(f"{name}='{value}'\n" for name, value in variables.items()), encoding="utf-8"
    )
    [line] = re.findall(r"^\*/5 \* \* \* \* (.+)$", project.read("docs/audit.md"), re.M)
    for there, here in (
        ("/srv/my_project", "my_project"),
        ("/etc/my_project.env", "environment"),
        ("/var/log/seals.txt", "seals"),
    ):
        assert there in line
        line = line.replace(there, str(tmp_path / here))
    done = run(["sh", "-c", line], folder=tmp_path, environment={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seals").exists()


def get(url: str, host: str) -> tuple[int, str]:
    """Return the status and the text of a page, asked for by a host name."""
    request = urllib.request.Request(url, headers={"Host": host})  # noqa: S310 (our server)
    try:
        with urllib.request.urlopen(request, timeout=HANGS) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_composition_has_what_its_modules_need_and_no_rights_that_it_does_not(
    project: BakedProject,
) -> None:
    services = composition(project)["services"]
    expected = {"web", "migrate", "db"}
    for module in project.combination.modules:
        entry = TEMPLATE.registry[module]
        expected |= {*entry.get("compose", {}), *entry.get("processes", {})}
    assert set(services) == expected
    for name, service in services.items():
        # Nothing of the project itself runs with rights that it does not need.
        if "build" in service:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name


def test_a_backup_of_sqlite_can_be_restored(bakery: Bakery, tmp_path: Path) -> None:
    """Run the documented commands while a writer has the database open."""
    project = bakery.copy(bakery.project(Combination(())), tmp_path / "my_project")
    text = project.read("docs/production.md")
    commands = [
        line.removeprefix("uv run --no-sync ")
        for line in re.findall(r"^uv run --no-sync python -m sqlite3.*$", text, re.M)
    ]
    assert len(commands) == 2
    environment = {"DATABASE_URL": ""}
    assert not project.faults_of("python", "manage.py", "migrate", **environment)
    code = (
        "from django.contrib.auth import get_user_model as m; from django.db import transaction;"
        "import subprocess, shlex, sys;"
        "m().objects.create_user('ada'); t = transaction.atomic(); t.__enter__();"
        "m().objects.create_user('unfinished');"
        "[print(subprocess.run(shlex.split(c), capture_output=True, text=True, check=True).stdout)"
        " for c in sys.stdin.read().splitlines()]"
    )
    done = run(
        [project.environment.program("python"), "manage.py", "shell", "-c", code],
        folder=project.path,
        environment=clean_environment(
            **{**project.environment.variables, **environment},
        )
        | {"PATH": f"{project.environment.program('')}{os.pathsep}{os.environ['PATH']}"},
        answers="\n".join(commands),
    )
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout
    (project.path / "backup.sqlite3").replace(project.path / "db.sqlite3")
    for name in ("db.sqlite3-wal", "db.sqlite3-shm"):
        (project.path / name).unlink(missing_ok=True)
    users = project.run(
        "python",
        "manage.py",
        "shell",
        "-c",
        "from django.contrib.auth import get_user_model as model;"
        "print([*model().objects.values_list('username', flat=True)])",
        **environment,
    )
    assert "['ada']" in users.stdout
