"""Sign people up as fast as the machine takes it, with every module on, and count the results.

The project is baked and installed as for production and served by Gunicorn on PostgreSQL; a
Celery worker runs its jobs by way of Redis. Each client signs one new person up after the other.
When the time is over and the jobs are done, every answered sign-up must have one profile, one mail
and one entry of its creation in the audit trail. No answer may be an error of the server. Otherwise
the exit status is 1.

Most of a sign-up is the hash of the password, which is slow on purpose. With --quick-passwords it
is not, and everything else is under more load.

With --trouble the project is behind the nginx that its page about production documents, and four
more clients are slow. The pool in front of the database is dead for so many seconds: it accepts
connections and is silent. Requests of that time may be answered with an error. All other answers
count, and the probe for liveness must be answered in time throughout.

It needs uv, PostgreSQL and Redis, where --database and --broker say, and nginx for trouble.
"""

import argparse
import json
import re
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.proxy import MISSING, find_nginx, proxied
from benchmarks.served import HOST, database, installed, manage, production, running
from benchmarks.trouble import Pool, Watched, troubled, trusting

PASSWORD = secrets.token_urlsafe(16)

# The rows of the project's database, by the e-mail address of each user.
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

# Settings of a project in which the hash of a password takes no time, and nothing is limited.
QUICK = """
from config.settings import *
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# One address signs up more users than a stranger may: this cache counts nothing.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
"""


@dataclass
class Answers:
    """The answers to the clients; filled by many threads."""

    signed_up: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    # Of answers that were errors: begin and end of the request, and who wanted to sign up.
    errors: list[tuple[float, float]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def main() -> int:
    """Run the load and print the results; with ``--json`` the last line holds them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long people sign up (60)")
    parser.add_argument("--clients", type=int, default=8, help="clients at the same time (8)")
    parser.add_argument("--quick-passwords", action="store_true", help="hash them quickly")
    parser.add_argument("--trouble", type=float, default=0, help="seconds of a dead pool (none)")
    parser.add_argument("--liveness", type=float, default=1, help="seconds for that probe (1)")
    parser.add_argument("--drain", type=float, default=300, help="seconds for the jobs, then (300)")
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--broker", default="redis://127.0.0.1:6379/15")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if options.trouble and not find_nginx():
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = installed(folder)
        with database(project, options.database) as address:
            result, errors = loaded(project, folder, address, options)
    report(result, errors)
    if options.json:
        print(json.dumps(result))
    return 0 if result["right"] else 1


def loaded(
    project: Path, folder: Path, address: str, options: argparse.Namespace
) -> tuple[dict[str, object], list[str]]:
    """Run the project and let people sign up; return the results and the log."""
    watched = Watched(options.liveness)
    with ExitStack() as stack:
        pool = stack.enter_context(closing(Pool(address))) if options.trouble else None
        variables = production(folder, pool.address if pool else address, options.broker)
        if options.quick_passwords:
            (project / "quick.py").write_text(QUICK, encoding="utf-8")
            variables["DJANGO_SETTINGS_MODULE"] = "quick"
        if pool:
            variables |= {"SECURE_SSL_REDIRECT": "1", "BEHIND_PROXY": "1"}
        manage(project, variables, "migrate", "--verbosity=0")
        manage(project, variables, "collectstatic", "--no-input", "--verbosity=0")
        port = stack.enter_context(running(project, variables, folder))
        connect: Callable[[], HTTPConnection]
        connect = partial(HTTPConnection, "127.0.0.1", port, timeout=3600)
        with ExitStack() as trouble:
            if pool and (nginx := find_nginx()):
                _, secure = stack.enter_context(proxied(project, nginx, folder, port))
                connect = partial(
                    HTTPSConnection, "127.0.0.1", secure, timeout=3600, context=trusting()
                )
                plan = (HOST, options.seconds / 3, options.trouble)
                trouble.enter_context(troubled(watched, port, secure, pool, *plan))
            started = time.monotonic()
            answers = sign_up(connect, options.clients, options.seconds)
            taken = time.monotonic() - started
        found = wait_and_count(project, variables, folder / "mail", answers, options.drain)
    errors = errors_in(folder / "log", watched.dead_since)
    return judge(answers, found, taken, errors, watched), errors


def sign_up(connect: Callable[[], HTTPConnection], clients: int, seconds: float) -> Answers:
    """Let clients sign people up until the time is over."""
    answers = Answers()
    end = time.monotonic() + seconds

    def client() -> None:
        connection = connect()
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
    """Get the form and send it, as a browser without cookies would."""
    url = "/accounts/signup/"
    form, page = asked(connection, answers, "GET", url, None, {"Host": HOST})
    if form.status >= 400:
        return
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
        "Referer": f"https://{HOST}{url}",
    }
    started = time.monotonic()
    answer, _ = asked(connection, answers, "POST", url, urlencode(data), headers)
    answers.milliseconds.append((time.monotonic() - started) * 1000)
    if answer.status == 302:
        answers.signed_up.append(data["email"])
    elif answer.status >= 400:
        answers.unknown.append(data["email"])


def asked(
    connection: HTTPConnection,
    answers: Answers,
    method: str,
    url: str,
    body: str | None,
    headers: dict[str, str],
) -> tuple[HTTPResponse, str]:
    """Send a request; return the answer and its text."""
    started = time.monotonic()
    connection.request(method, url, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    answers.statuses[answer.status] += 1
    if answer.status >= 400:
        answers.errors.append((started, time.monotonic()))
    return answer, text


def wait_and_count(
    project: Path, variables: dict[str, str], mail: Path, answers: Answers, patience: float
) -> dict[str, list[str]]:
    """Wait until every mail is there, or the time is over; then count everything."""
    end = time.monotonic() + patience
    expected = set(answers.signed_up)
    while True:
        while expected - set(mails(mail)) and time.monotonic() < end:
            time.sleep(1)
        time.sleep(2)  # for a mail too many
        found: dict[str, list[str]] = json.loads(
            manage(project, variables, "shell", "-v0", "-c", COUNT)
        )
        # Some were answered with an error, and are there all the same.
        more = set(found["users"]) & set(answers.unknown) - expected
        if not more:
            return found | {"mails": mails(mail)}
        expected |= more


def mails(folder: Path) -> list[str]:
    """List the recipient of each mail that was sent."""
    files = folder.glob("*.log")
    return [
        recipient
        for file in files
        for recipient in re.findall(r"^To: (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def errors_in(log: Path, end: datetime | None) -> list[str]:
    """List what the processes have logged as errors, until the pool was dead if it was."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [line for line in lines if '"level": "ERROR"' in line or '"level": "CRITICAL"' in line]
    return [
        line
        for line in found
        if end is None or datetime.fromisoformat(json.loads(line)["time"]) < end
    ]


def judge(
    answers: Answers,
    found: dict[str, list[str]],
    taken: float,
    errors: list[str],
    watched: Watched | None = None,
) -> dict[str, object]:
    """Compare what was answered with what is there."""
    watched = watched or Watched()
    excused = sum(watched.excuses(*span) for span in answers.errors)
    expected = set(answers.signed_up) | set(answers.unknown) & set(found["users"])
    result: dict[str, object] = {
        "sign_ups": len(answers.signed_up),
        "per_second": round(len(answers.signed_up) / taken, 1),
        "error_answers": sum(n for status, n in answers.statuses.items() if status >= 400)
        - excused,
        "broken_answers": len(answers.broken),
        "errors_logged": len(errors),
        "median_ms": round(statistics.median(answers.milliseconds or [0])),
        "slowest_ms": round(max(answers.milliseconds, default=0)),
    }
    right = bool(answers.signed_up) and not any(
        result[name] for name in ("error_answers", "broken_answers", "errors_logged")
    )
    for kind in ("users", "profiles", "entries", "mails"):
        counts = Counter(found[kind])
        lost = sum(1 for address in expected if counts[address] == 0)
        doubled = sum(1 for address, n in counts.items() if n > 1)
        result[kind] = {"lost": lost, "doubled": doubled, "more": len(counts.keys() - expected)}
        right = right and result[kind] == {"lost": 0, "doubled": 0, "more": 0}
    if watched.seconds:
        result["errors_while_dead"] = excused
        result["signed_up_in_error"] = len(expected - set(answers.signed_up))
        result |= watched.report()
        right = right and watched.right()
    return result | {"right": right}


def report(result: dict[str, object], errors: list[str]) -> None:
    """Print the result for people."""
    for name, value in result.items():
        print(f"  {name.replace('_', ' '):16} {value}")
    for line in errors[:5]:
        print(line[:300])


if __name__ == "__main__":
    sys.exit(main())
