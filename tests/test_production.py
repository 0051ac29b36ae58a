"""The image of a project, as far as it can be built and started without a container engine."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from benchmarks import proxy
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
NEVER_IN_GIT = [
    *(".env", ".env.production", "db.sqlite3", "db.sqlite3-wal", "backup.sqlite3", "var/media/x"),
    *("backup.dump", "january.jsonl", "apps/tls.key", "fullchain.pem"),
    *("config/.env", "config/.env.production", "apps/db.sqlite3"),
]
NEVER_IN_AN_IMAGE = [*NEVER_IN_GIT, ".git/config"]


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
    add_private_files(project.path, NEVER_IN_AN_IMAGE)
    for name, rest in stages(project)[0]:
        if name == "COPY":
            copy(project, rest, root)
        elif name == "RUN" and "uv sync" in rest:
            # The image has one Python. Here uv would fetch the newest that it knows of.
            python = f"UV_PYTHON={sys.executable}"
            done = run(["env", python, "sh", "-c", on_this_machine(rest)], folder=root)
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


def add_private_files(folder: Path, files: list[str]) -> None:
    """Add what no image may have, and let only the owner read anything, as with a strict umask."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("SECRET_KEY=of-development", encoding="utf-8")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def on_this_machine(command: str) -> str:
    """Take from a command what only a container engine understands."""
    return re.sub(r"--mount=\S+\s*", "", command)


def without(root: Path, patterns: list[str]) -> Callable[[str, list[str]], list[str]]:
    """Leave out what patterns name; only those with **/ count below the first folder."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        counted = [each for each in patterns if each[:3] == "**/" or Path(folder) == root]
        return [
            name
            for name in names
            if any(fnmatch(name, each.removeprefix("**/")) for each in counted)
        ]

    return ignored


def copy(project: BakedProject, arguments: str, root: Path) -> None:
    """Copy files of the project as the image does, less what .dockerignore names."""
    ignored = project.read(".dockerignore").split()
    *sources, _ = shlex.split(arguments)
    for source in sources:
        if source == ".":
            leave_out = without(project.path, [line.rstrip("/") for line in ignored])
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
    port = proxy.free_port()
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


# Headers that a client made up, which must not reach the project.
MADE_UP = {"X-Forwarded-Proto": "http", "X-Request-ID": "made-up-by-a-client"}


@pytest.mark.whole
def test_the_proxy_that_is_documented_shields_the_project(bakery: Bakery, tmp_path: Path) -> None:
    """Start nginx as the page says, in front of Gunicorn, and hold more clients than threads."""
    nginx = proxy.find_nginx()
    if nginx is None:
        pytest.skip(proxy.MISSING)
    project = bakery.copy(bakery.project(Combination(())), tmp_path / "my_project")
    (project.path / ".venv").symlink_to(project.environment.folder)
    variables = PRODUCTION | {"DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}"}
    expect_none(project.faults_of("python", "manage.py", "collectstatic", "-v0", **variables))
    with served(project.path, variables | {"BEHIND_PROXY": "1"}) as (behind, log):
        port = int(behind.rpartition(":")[2])
        with proxy.proxied(project.path, nginx, tmp_path, port) as ports:
            plain, secure = f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}"
            assert get(f"{secure}/", HOST, **MADE_UP)[0] == 200
            assert get(f"{secure}/health/", HOST)[0] == 404
            assert get(f"{secure}/accounts/login/", HOST, "x" * 11_000_000)[0] == 413
            assert get(f"{plain}/accounts/reset/MQ/a-secret/", HOST)[0] == 301
            assert get(f"{secure}/accounts/reset/MQ/a-secret/", HOST)[0] == 200
            assert "camera=()" in header(f"{secure}/", HOST, "Permissions-Policy")
            with held(ports[1], clients=40):
                assert get(f"{secure}/", HOST)[0] == 200
                assert get(f"{behind}/health/live/", "10.0.0.1")[0] == 200
        with held(port, clients=8):
            assert get(f"{behind}/health/live/", "10.0.0.1")[0] == 200
    written = "".join(each.read_text("utf-8") for each in (log, tmp_path / "nginx.log"))
    assert "a-secret" not in written
    assert "made-up" not in written


@contextmanager
def held(port: int, clients: int) -> Iterator[None]:
    """Keep connections open whose requests never end."""
    with ExitStack() as stack:
        for _ in range(clients):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: ")
        yield


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_any_server_finds_the_settings(bakery: Bakery, server: str) -> None:
    project = bakery.project(Combination(()))
    code = f"import config.{server}, os; print(os.environ['DJANGO_SETTINGS_MODULE'])"
    done = project.run("python", "-c", code, **PRODUCTION)
    assert done.stdout == "config.settings\n", done.stderr


def test_gunicorn_believes_no_proxy_by_itself(bakery: Bakery) -> None:
    """Only BEHIND_PROXY makes the project believe a header, because any client can send one."""
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


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("WEB_HOST", "http://0.0.0.0"),
        ("WEB_HOST", "127.0.0.1,0.0.0.0"),
        ("WEB_HOST", ","),
        ("WEB_THREADS", "0"),
        ("WEB_CONCURRENCY", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_gunicorn_refuses_a_wrong_value_in_one_sentence(
    bakery: Bakery, variable: str, value: str
) -> None:
    project = bakery.project(Combination(()))
    done = project.run("gunicorn", "--print-config", **PRODUCTION | {variable: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: The environment variable {variable} ")
    assert f"; write for example {variable}=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_only_the_image_listens_to_other_machines(bakery: Bakery) -> None:
    project = bakery.project(Combination(()))
    assert bound(project) == "['127.0.0.1:8000']"
    assert bound(project, PORT="9000") == "['127.0.0.1:9000']"
    assert bound(project, WEB_HOST="", PORT="", WEB_THREADS="") == "['127.0.0.1:8000']"
    image = dict(
        pair.split("=", 1)
        for name, rest in instructions(project)
        if name == "ENV"
        for pair in rest.split()
        if not pair.startswith("PATH=")
    )
    assert bound(project, **image) == "['0.0.0.0:8000']"


def test_the_lines_for_cron_have_the_environment_of_the_server(
    bakery: Bakery, tmp_path: Path
) -> None:
    """Run it as cron does: by sh, with nothing in the environment.

    Without a worker, cron runs the periodic jobs too.
    """
    project = bakery.copy(bakery.project(Combination(("audit",))), tmp_path / "my_project")
    (project.path / ".venv").symlink_to(project.environment.folder)
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'database.sqlite3'}"}
    expect_none(project.faults_of("python", "manage.py", "migrate", "-v0", **database))
    variables = PRODUCTION | database | {"SECRET_KEY": f"${PRODUCTION['SECRET_KEY']}"}
    (tmp_path / "environment").write_text(
        "".join(f"{name}='{value}'\n" for name, value in variables.items()), encoding="utf-8"
    )
    page = project.read("docs/production.md")
    [dump, clear] = re.findall(r"^\d+ 3 \* \* \* (.+)$", page, re.M)
    [hourly] = re.findall(r"^\d+ \* \* \* \* (.+)$", page, re.M)
    assert "pg_dump" in dump
    # Cron turns an escaped percent sign into a plain one. This pg_dump records its umask.
    (tmp_path / "pg_dump").write_text('#!/bin/sh\numask > "${2#--file=}"\n', encoding="utf-8")
    (tmp_path / "pg_dump").chmod(0o755)
    said = []
    for line in (hourly, dump.replace("\\%", "%"), clear):
        for there, here in (
            ("/srv/my_project", "my_project"),
            ("/etc/my_project.env", "environment"),
            ("/var/backups/my_project", "backup"),
        ):
            line = line.replace(there, str(tmp_path / here))
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = run(["sh", "-c", line], folder=tmp_path, environment=path)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert "apps.audit.tasks.seal: Successful" in said[0]
    [backup] = tmp_path.glob("backup-[1-7].dump")
    assert backup.read_text("utf-8") == "0077\n"


def header(url: str, host: str, name: str) -> str:
    """Return a header of a page."""
    with opened(url, host) as answer:
        return str(answer.headers[name])


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_: object) -> None:
        """Make no further request."""


def opened(url: str, host: str, data: str | None = None, **headers: str) -> Any:
    """Open a page, asked for by a host name, of a server with any certificate."""
    body = data and data.encode()
    request = urllib.request.Request(url, body or None, {"Host": host, **headers})  # noqa: S310
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(Stay, urllib.request.HTTPSHandler(context=trusting))
    return opener.open(request, timeout=HANGS)


def get(url: str, host: str, data: str | None = None, **headers: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    try:
        with opened(url, host, data, **headers) as answer:
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
        # Nothing takes the whole machine, fills its disk or hangs unseen.
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["driver"] == "local", name
        assert "healthcheck" in service or service["restart"] == "no", name


def test_a_composition_passes_on_each_variable_of_the_example(project: BakedProject) -> None:
    """A value in .env that no container gets would look as if it counted."""
    example = re.findall(r"^#?([A-Z_]+)=", project.read(".env.example"), re.M)
    passed = composition(project)["services"]["web"]["environment"]
    # The composition has servers of its own, and is no development.
    assert {*example} - {*passed} == {"DEBUG"}
    own = {name for name, value in passed.items() if f"${{{name}:" not in value}
    servers = [entry.get("compose", {}) for entry in TEMPLATE.registry.values()]
    known = {name for one in servers for each in one.values() for name in each["environment"]}
    assert own <= {"DATABASE_URL", *known}


def test_the_servers_of_a_composition_ask_for_a_password(project: BakedProject) -> None:
    data = composition(project)
    services = data["services"]
    urls = {
        name: value
        for name, value in services["web"]["environment"].items()
        if re.search(r"@(db|redis):", str(value))
    }
    assert set(urls) == {"DATABASE_URL"} | {
        variable
        for module in project.combination.modules
        for details in TEMPLATE.registry[module].get("compose", {}).values()
        for variable in details["environment"]
    }
    assert all(re.match(r"\w+://\w*:\$\{\w+_PASSWORD:\?", value) for value in urls.values())
    if "redis" in services:
        assert services["redis"]["command"][-2] == "--requirepass"
        assert services["redis"]["command"][-1].startswith("${REDIS_PASSWORD:?")


def test_the_role_of_the_project_in_containers_is_no_superuser(project: BakedProject) -> None:
    """The role that the database makes first always is one; the project has another."""
    data = composition(project)
    script = data["configs"]["role"]["content"]
    url = REFERENCE.sub("letters", data["services"]["web"]["environment"]["DATABASE_URL"])
    user = urlsplit(url).username
    assert user == "app"
    assert f"CREATE ROLE {user} LOGIN PASSWORD" in script
    assert "SUPERUSER" not in script
    assert "ALTER ROLE postgres PASSWORD NULL;" in script
    [mounted] = data["services"]["db"]["configs"]
    assert mounted["source"] == "role"
    assert mounted["target"].startswith("/docker-entrypoint-initdb.d/")


def test_what_is_private_is_not_committed(bakery: Bakery, tmp_path: Path) -> None:
    project = bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")
    add_private_files(project.path, NEVER_IN_GIT)
    for command in (["git", "init", "-q"], ["git", "add", "--all"]):
        done = run(command, folder=project.path)
        assert done.returncode == 0, done.stderr
    kept = run(["git", "ls-files"], folder=project.path).stdout.splitlines()
    assert [file for file in NEVER_IN_GIT if file in kept] == []
    assert ".env.example" in kept


def test_the_addresses_of_mail_servers_on_the_page_are_taken(project: BakedProject) -> None:
    urls = re.findall(r"^\| .* \| `(smtp\S*)` \|$", project.read("docs/production.md"), re.M)
    code = "import json, sys; from config.environment import mailer;"
    code += "print(json.dumps([mailer(url)['OPTIONS'] for url in sys.argv[1:]]))"
    done = project.run("python", "-c", code, *urls)
    assert done.returncode == 0, done.stderr
    *others, here = json.loads(done.stdout)
    assert here["host"] == "127.0.0.1"
    for url, server in zip(urls, others, strict=False):
        assert server["host"] == url.rpartition("@")[2]
        # A password never goes over the network in the clear.
        assert server["username"]
        assert server["password"]
        assert server["use_tls"] != server["use_ssl"]
        assert server["port"] == (587 if server["use_tls"] else 465)
    [amazon] = [server for server in others if "amazonaws" in server["host"]]
    assert amazon["password"] == "a/b+c"
    [gmail] = [server for server in others if "gmail" in server["host"]]
    assert gmail["username"] == "ada@example.com"


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
