"""A project as production has it: installed, with its own database and processes."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from cookiecutter.main import cookiecutter

from benchmarks.proxy import free_port

ROOT = Path(__file__).resolve().parent.parent
HOST = "www.example.com"


def installed(folder: Path) -> Path:
    """Bake the project with all modules, and install what production needs."""
    modules = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_modules"]
    saved = os.dup(1)
    os.dup2(2, 1)  # the closing message of the bake is no part of the result
    try:
        project = cookiecutter(
            str(ROOT), no_input=True, extra_context=dict.fromkeys(modules, True), output_dir=folder
        )
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    command = [uv, "sync", "--quiet", "--no-dev", "--group", "production"]
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "UV_PR"))
    }
    subprocess.run(command, cwd=project, env=environment, check=True)
    return Path(project)


@contextmanager
def database(project: Path, address: str) -> Iterator[str]:
    """Make a database beside the one of an address; give the new one's address."""
    name = f"load_{secrets.token_hex(6)}"
    statement = "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute({!r})"

    def execute(sql: str) -> None:
        program = [f"{project}/.venv/bin/python", "-c", statement.format(sql), address]
        subprocess.run(program, check=True)

    execute(f"CREATE DATABASE {name}")
    try:
        yield f"{address.rpartition('/')[0]}/{name}"
    finally:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


def production(folder: Path, address: str, broker: str) -> dict[str, str]:
    """Return the environment of the project's processes."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ALLOWED_HOSTS": HOST,
        "SECURE_SSL_REDIRECT": "0",
        "EMAIL_URL": f"filemail:///{folder}/mail",
        "DATABASE_URL": address,
        "CELERY_BROKER_URL": broker,
        "WEB_CONCURRENCY": "2",
        "LOG_LEVEL": "WARNING",
    }


def manage(project: Path, variables: dict[str, str], *arguments: str) -> str:
    """Run a command of the project and return what it prints."""
    program = [f"{project}/.venv/bin/python", "manage.py", *arguments]
    return subprocess.check_output(program, cwd=project, env=variables, text=True)


@contextmanager
def running(project: Path, variables: dict[str, str], folder: Path) -> Iterator[int]:
    """Run the web server and the worker; give the port of the former."""
    port = free_port()
    processes = []
    with (folder / "log").open("w", encoding="utf-8") as log:
        for program in (["gunicorn"], ["celery", "-A", "apps.handoff", "worker", "-c", "2"]):
            processes.append(
                subprocess.Popen(
                    [project / ".venv/bin" / program[0], *program[1:]],
                    cwd=project,
                    env=variables | {"PORT": str(port)},
                    stdout=log,
                    stderr=log,
                )
            )
        try:
            wait_for(port, processes)
            yield port
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(600)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def wait_for(port: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the web server answers."""
    while True:
        if any(process.poll() is not None for process in processes):
            sys.exit("A process of the project has ended before the load began.")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
