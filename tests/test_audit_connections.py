"""The audit trail through every kind of connection to PostgreSQL that Django knows of.

Pools and server-side binding are settings of the project. With pgbouncer, a program between the
project and the server, each transaction may get another connection. So no state of a session lasts.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.deep import folder_of, plant
from tests.support.programs import UV, run
from tests.support.project import BakedProject
from tests.support.services import answers, require_services

pytestmark = pytest.mark.whole

# Rebuilding and concurrency have separate tests, and a million rows take no other connection.
# The contract tests know nothing of the models of the deep ones, so they run by themselves.
TESTS = (
    ["apps/audit/tests", f"--ignore={folder_of('audit')}"],
    [folder_of("audit"), f"--ignore={folder_of('audit')}/test_many.py"],
)
POOL = "psycopg-pool==3.3.3"
# pgbouncer refuses to run as root.
UNPRIVILEGED = "nobody"
MISSING = "pgbouncer is not installed; Debian has it: apt-get install pgbouncer"
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
"""


@pytest.fixture
def url() -> str:
    """The URL of a new database."""
    require_services()
    return f"postgres://postgres@127.0.0.1:5432/template_{uuid.uuid4().hex[:12]}"


def configure(project: BakedProject, text: str) -> BakedProject:
    """Add an owner's settings at the end of the project's settings."""
    path = project.path / "config" / "settings.py"
    settings = path.read_text(encoding="utf-8")
    path.write_text(f"{settings}\n{textwrap.dedent(text)}", encoding="utf-8")
    return project


def expect_both(project: BakedProject, variables: dict[str, str], *options: str) -> None:
    """Run the contract tests of the module, and then its deep tests."""
    for tests in TESTS:
        expect_none(commands.own_tests(project, options=[*tests, *options], variables=variables))


def test_server_side_binding(all_on: BakedProject, url: str) -> None:
    """The driver sends values separately from the statement."""
    project = configure(
        plant(all_on), 'DATABASES["default"]["OPTIONS"] = {"server_side_binding": True}'
    )
    expect_both(project, {"DATABASE_URL": url})


def test_a_pool(all_on: BakedProject, url: str, tmp_path: Path) -> None:
    """Threads pass connections on, with the state that earlier statements left."""
    packages = tmp_path / "packages"
    installed = run(
        [UV, "pip", "install", "--target", packages, "--no-deps", POOL], folder=tmp_path
    )
    assert installed.returncode == 0, installed.stderr
    project = configure(
        plant(all_on),
        """
        DATABASES["default"]["CONN_MAX_AGE"] = 0
        # Writers that race wait for each other: each needs a connection, and four is the default.
        DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 20}}
        """,
    )
    variables = {"DATABASE_URL": url, "PYTHONPATH": str(packages)}
    expect_both(project, variables)


@pytest.fixture
def port() -> Iterator[int]:
    """Start pgbouncer, which gives a server's connection away after every transaction."""
    require_services()
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip(MISSING)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        # Not in a folder of pytest, which is closed to other users.
        Path(folder).chmod(0o755)
        file, log = Path(folder, "pgbouncer.ini"), Path(folder, "log")
        file.write_text(CONFIGURATION.format(port=port), encoding="utf-8")
        user = pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, str(file)], cwd="/", user=user, stdout=output, stderr=output
            )
        try:
            while not answers(port):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                time.sleep(0.05)
            yield port
        finally:
            process.kill()
            process.wait()


def test_a_pooler_that_gives_out_transactions(all_on: BakedProject, url: str, port: int) -> None:
    """The state of a session may or may not last until its next transaction."""
    project = configure(
        plant(all_on),
        """
        DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
        DATABASES["default"]["CONN_MAX_AGE"] = 0
        DATABASES["default"]["OPTIONS"] = {"prepare_threshold": None}
        """,
    )
    address = url.replace(":5432/", f":{port}/")
    # The pooler's own connections would keep the database from being dropped at the end.
    try:
        expect_both(project, {"DATABASE_URL": address}, "--reuse-db")
    finally:
        name = url.rpartition("/")[2]
        code = (
            "import psycopg; psycopg.connect('postgres://postgres@127.0.0.1:5432/postgres',"
            f""" autocommit=True).execute('DROP DATABASE IF EXISTS "test_{name}" WITH (FORCE)')"""
        )
        expect_none(project.faults_of("python", "-c", code))
