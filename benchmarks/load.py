"""Sign people up as fast as the machine takes it, with every module on, and count what came of it.

The project is baked and installed as for production and served by Gunicorn on PostgreSQL; a
Celery worker runs its jobs by way of Redis. Each client signs one new person up after the other.
When the time is over and the jobs are done, every sign-up that was answered has to have one
profile, one entry of its creation in the audit trail and one mail; no answer may have been an
error of the server. The exit status is 1 when that is not so.

Most of a sign-up is the hash of the password, which is slow on purpose. With --quick-passwords it
is not, and everything else is under more load.

It needs uv, PostgreSQL and Redis, where --database and --broker say.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlencode

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
HOST = "www.example.com"
PASSWORD = secrets.token_urlsafe(16)

# What the project's database holds, by the e-mail address of each user.
COUNT = """
import json
from apps.accounts.models import User
from apps.audit.models import Entry
from apps.profiles.models import Profile
names = dict(User.objects.values_list("pk", "email"))
created = Entry.objects.filter(model_label="accounts.User", action="create")
print(json.dumps({
    "users": sorted(names.values()),
    "profiles": [names.get(pk) for pk in Profile.objects.values_list("user_id", flat=True)],
    "entries": [names.get(int(pk)) for pk in created.values_list("object_id", flat=True)],
}))
"""

# Settings of a project in which the hash of a password takes no time, and nobody is limited.
QUICK = """
from config.settings import *
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# One address signs up more users than a stranger may: this cache counts nothing.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
"""


@dataclass
class Answers:
    """What the clients were answered; filled by many threads."""

    signed_up: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def main() -> int:
    """Run the load and print what came of it; with ``--json`` the last line holds it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long people sign up (60)")
    parser.add_argument("--clients", type=int, default=8, help="clients at the same time (8)")
    parser.add_argument("--quick-passwords", action="store_true", help="hash them quickly")
    parser.add_argument("--drain", type=float, default=300, help="seconds for the jobs, then (300)")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--broker", default="redis://127.0.0.1:6379/15")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = installed(folder)
        with database(project, options.database) as address:
            variables = production(folder, address, options.broker)
            if options.quick_passwords:
                (project / "quick.py").write_text(QUICK, encoding="utf-8")
                variables["DJANGO_SETTINGS_MODULE"] = "quick"
            manage(project, variables, "migrate", "--verbosity=0")
            manage(project, variables, "collectstatic", "--no-input", "--verbosity=0")
            with running(project, variables, folder) as port:
                started = time.monotonic()
                answers = sign_up(port, options.clients, options.seconds)
                taken = time.monotonic() - started
                found = settled(project, variables, folder / "mail", answers, options.drain)
            errors = errors_in(folder / "log")
    result = judge(answers, found, taken, errors)
    report(result, errors)
    if options.json:
        print(json.dumps(result))
    return 0 if result["right"] else 1


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
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


def sign_up(port: int, clients: int, seconds: float) -> Answers:
    """Let clients sign people up until the time is over."""
    answers = Answers()
    end = time.monotonic() + seconds

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=3600)
        while time.monotonic() < end:
            name = f"user-{secrets.token_hex(8)}"
            try:
                sign_one_up(connection, name, answers)
            except (OSError, HTTPException, ValueError) as error:
                answers.broken.append(f"{name}: {error!r}")
                connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def sign_one_up(connection: HTTPConnection, name: str, answers: Answers) -> None:
    """Get the form and send it, as a browser without cookies of its own would."""
    url = "/accounts/signup/"
    connection.request("GET", url, headers={"Host": HOST})
    form = connection.getresponse()
    page = form.read().decode()
    answers.statuses[form.status] += 1
    cookies = {
        part.split("=", 1)[0]: part.split(";", 1)[0].split("=", 1)[1]
        for part in form.headers.get_all("Set-Cookie") or []
    }
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    if form.status != 200 or not found:
        raise ValueError(f"the form was answered with {form.status}")
    data = {"username": name, "email": f"{name}@example.com", "csrfmiddlewaretoken": found[1]}
    data |= {"password1": PASSWORD, "password2": PASSWORD}
    headers = {
        "Host": HOST,
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={cookies['csrftoken']}",
    }
    started = time.monotonic()
    connection.request("POST", url, urlencode(data), headers)
    answer = connection.getresponse()
    answer.read()
    answers.milliseconds.append((time.monotonic() - started) * 1000)
    answers.statuses[answer.status] += 1
    if answer.status == 302:
        answers.signed_up.append(data["email"])


def settled(
    project: Path, variables: dict[str, str], mail: Path, answers: Answers, patience: float
) -> dict[str, list[str]]:
    """Wait until every mail is there, or the patience is at its end; then count everything."""
    end = time.monotonic() + patience
    while len(mails(mail)) < len(answers.signed_up) and time.monotonic() < end:
        time.sleep(1)
    time.sleep(2)  # for a mail too many
    found: dict[str, list[str]] = json.loads(
        manage(project, variables, "shell", "-v0", "-c", COUNT)
    )
    return found | {"mails": mails(mail)}


def mails(folder: Path) -> list[str]:
    """List the recipient of each mail that was sent."""
    files = folder.glob("*.log")
    return [
        recipient
        for file in files
        for recipient in re.findall(r"^To: (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def errors_in(log: Path) -> list[str]:
    """List what the processes have logged as errors."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if '"level": "ERROR"' in line or '"level": "CRITICAL"' in line]


def judge(
    answers: Answers, found: dict[str, list[str]], taken: float, errors: list[str]
) -> dict[str, object]:
    """Compare what was answered with what is there."""
    expected = set(answers.signed_up)
    result: dict[str, object] = {
        "sign_ups": len(expected),
        "per_second": round(len(expected) / taken, 1),
        "server_errors": sum(n for status, n in answers.statuses.items() if status >= 500),
        "broken_answers": len(answers.broken),
        "errors_logged": len(errors),
        "median_ms": round(statistics.median(answers.milliseconds or [0])),
        "slowest_ms": round(max(answers.milliseconds, default=0)),
    }
    right = bool(expected) and not any(
        result[name] for name in ("server_errors", "broken_answers", "errors_logged")
    )
    for kind in ("users", "profiles", "entries", "mails"):
        counts = Counter(found[kind])
        lost = sum(1 for address in expected if counts[address] == 0)
        doubled = sum(1 for address, n in counts.items() if n > 1)
        result[kind] = {"lost": lost, "doubled": doubled, "more": len(counts.keys() - expected)}
        right = right and result[kind] == {"lost": 0, "doubled": 0, "more": 0}
    return result | {"right": right}


def report(result: dict[str, object], errors: list[str]) -> None:
    """Print the result for people."""
    for name, value in result.items():
        print(f"  {name.replace('_', ' '):16} {value}")
    for line in errors[:5]:
        print(line[:300])


if __name__ == "__main__":
    sys.exit(main())
