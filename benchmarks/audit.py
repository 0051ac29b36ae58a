"""Compare what the audit trail costs with the least possible and with other packages.

Every figure comes from this run, in which the recorders take turns at each operation. There are
two for each write: the extra statements, without those of transactions, and the CPU time. The CPU
time is a multiple of an unrecorded write, the median of all rounds. The
floor is a write with one more INSERT, of a row such as any trail has to keep; for a
bulk write, with one ``bulk_create()`` of as many. On PostgreSQL the time of the
server's process is part of it, so the server must run on this machine.

The trail says who acts. So the module and django-pghistory, which record that in the database,
are told of a user for each single write and each bulk write, as in a separate request. That is
done with ``acting_as(user)`` and ``pghistory.context(user=…)``. The latter adds a row to a table
of contexts.
The others would ask the request of their middleware. They get no user.

The bytes of an entry are those of the recorder's tables with their indexes, after all rounds.

The packages are installed into ``.cache/audit``. One that does not run on the
Django of the projects is reported as such.
"""

import argparse
import contextlib
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
SUBJECT = ROOT / "benchmarks" / "audited" / "subject.py"
ENVIRONMENT = ROOT / ".cache" / "audit"

PEERS = {
    "django-auditlog": ["django-auditlog==3.4.1"],
    "django-simple-history": ["django-simple-history==3.13.0"],
    "django-reversion": ["django-reversion==6.4.0"],
    "django-easy-audit": ["django-easy-audit==1.3.9"],
}
POSTGRES_PEERS = {"django-pghistory": ["django-pghistory==3.9.2", "django-pgtrigger==4.17.0"]}
FLOOR = "one more INSERT"
UNRECORDED = "no audit"

# Of each operation: seconds, statements for each write, and entries.
Figures = dict[str, dict[str, float]]


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("uv") or sys.exit("uv is missing: run this with make or uv run.")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def install(project: Path, peers: dict[str, list[str]]) -> dict[str, str]:
    """Install the project's own dependencies and the peers; return why a peer cannot be installed."""
    python = str(ENVIRONMENT / "bin" / "python")
    if not Path(python).exists():
        uv("venv", "--python", sys.executable, str(ENVIRONMENT)).check_returncode()
    own = ["--python", python, "-r", str(project / "pyproject.toml")]
    uv("pip", "install", *own).check_returncode()
    refused = {}
    for name, requirements in peers.items():
        done = uv("pip", "install", *own, *requirements)
        if done.returncode:
            refused[name] = done.stderr.strip()
    return refused


class Subject:
    """A process in which one recorder is installed, on a separate database.

    Raises:
        BrokenRecorderError: when it ends, with what it said last.
    """

    def __init__(self, name: str, url: str, project: Path) -> None:
        python = str(ENVIRONMENT / "bin" / "python")
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the process
        self.process: Any = subprocess.Popen(
            [python, "-W", "ignore", str(SUBJECT), name, url, str(project)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )
        self.operations: list[str] = self._answer()

    def measure(self, word: str, operation: str = "") -> dict[str, float]:
        """``count`` or ``time`` an operation, or ask for the ``size`` of the tables."""
        with contextlib.suppress(BrokenPipeError):
            print(word, operation, file=self.process.stdin, flush=True)
        found: dict[str, float] = self._answer()
        return found

    def end(self) -> None:
        """Let the process end, so that its database can be removed."""
        self.process.communicate("")

    def _answer(self) -> Any:
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line)
        self.process.wait()
        self.said.seek(0)
        raise BrokenRecorderError((self.said.read().strip().splitlines() or ["no output"])[-1])


class BrokenRecorderError(Exception):
    """A recorder does not work on this Django."""


def measured(
    names: list[str], database: str | None, project: Path, rounds: int, failed: dict[str, str]
) -> tuple[list[dict[str, Figures]], dict[str, int]]:
    """Let the recorders take turns at each operation, note those that fail, and size their tables."""
    python = str(ENVIRONMENT / "bin" / "python")
    found: list[dict[str, Figures]] = [{} for _ in range(rounds)]
    with contextlib.ExitStack() as stack:
        subjects: dict[str, Subject] = {}

        def asked(name: str, *words: str) -> dict[str, float] | None:
            try:
                return subjects[name].measure(*words)
            except BrokenRecorderError as error:
                failed[name] = str(error)
                del subjects[name]
                return None

        for name in names:
            url = stack.enter_context(fresh_database(database, python))
            try:
                subjects[name] = Subject(name, url, project)
                stack.callback(subjects[name].end)
            except BrokenRecorderError as error:
                failed[name] = str(error)
        for operation in subjects[UNRECORDED].operations:
            counts = {name: asked(name, "count", operation) for name in list(subjects)}
            for figures in found:
                for name in list(subjects):
                    timed = asked(name, "time", operation)
                    if timed is not None:
                        figures.setdefault(name, {})[operation] = timed | (counts[name] or {})
        sizes = {name: asked(name, "size") for name in list(subjects)}
    by_entry = {
        name: round(one["bytes"] / one["entries"])
        for name, one in sizes.items()
        if one and one["entries"]
    }
    working = [{name: one for name, one in each.items() if name not in failed} for each in found]
    return working, by_entry


@contextlib.contextmanager
def fresh_database(server: str | None, python: str) -> Iterator[str]:
    """Hand out the URL of an empty database, and remove it afterwards."""
    if not server:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/benchmark.sqlite3"
        return
    name = f"audit_benchmark_{uuid.uuid4().hex[:12]}"
    execute(python, server, f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        execute(python, server, f"DROP DATABASE {name}")


def execute(python: str, server: str, sql: str) -> None:
    """Execute a statement outside of any transaction."""
    program = (
        "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])"
    )
    subprocess.run([python, "-c", program, server, sql], check=True)


def compare(rounds: list[dict[str, Figures]]) -> dict[str, Any]:
    """Turn the rounds into medians of ratios, each within one round."""
    compared: dict[str, Any] = {}
    for operation in rounds[0][UNRECORDED]:
        row = compared[operation] = {}
        for name in rounds[0]:
            figures = [each[name][operation] for each in rounds]
            plain = [each[UNRECORDED][operation] for each in rounds]
            floor = [each[FLOOR][operation] for each in rounds]
            row[name] = {
                "statements": figures[0]["statements"] - plain[0]["statements"],
                "rows": figures[0]["rows"],
                "over_unaudited": median(figures, plain),
                "over_floor": median(figures, floor),
                "microseconds": microseconds(figures, plain),
            }
    return compared


def median(figures: list[dict[str, float]], others: list[dict[str, float]]) -> float:
    pairs = zip(figures, others, strict=True)
    return round(statistics.median(one["seconds"] / other["seconds"] for one, other in pairs), 2)


def microseconds(figures: list[dict[str, float]], others: list[dict[str, float]]) -> float:
    """Return what a recorder adds to the time of a row."""
    added = (one["seconds"] - other["seconds"] for one, other in zip(figures, others, strict=True))
    return round(1e6 * statistics.median(added) / figures[0]["written"], 1)


def report(title: str, compared: dict[str, Any], refused: dict[str, str]) -> None:
    """Print a table for each operation that fits a terminal."""
    print(f"\n{title}")
    for operation, row in compared.items():
        print(f"\n  {operation:28} extra statements  x unaudited  x floor  µs a row   entries")
        for name, figures in row.items():
            lost = name not in (UNRECORDED,) and not figures["rows"]
            note = "not recorded" if lost and operation != "save unchanged" else ""
            print(
                f"    {name:26} {figures['statements']:16.2f} {figures['over_unaudited']:12.2f}"
                f" {figures['over_floor']:8.2f} {figures['microseconds']:9.1f}"
                f" {figures['rows']:9.0f} {note}"
            )
    for name, why in refused.items():
        print(f"\n  {name} does not run on this Django: {why}")


def main() -> None:
    """Measure and print; with ``--json`` the last line holds all ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--rounds", type=int, default=9, help="turns of each recorder at each operation (9)"
    )
    parser.add_argument(
        "--postgres",
        nargs="?",
        const="postgres://postgres@127.0.0.1:5432/postgres",
        help="measure on this PostgreSQL instead (postgres://postgres@127.0.0.1:5432/postgres)",
    )
    parser.add_argument("--only", nargs="*", help="these recorders only, besides the floor")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            cookiecutter(
                str(ROOT),
                no_input=True,
                extra_context={"project_slug": "audited_project", "audit": True},
                output_dir=folder,
                config_file=write_config(Path(folder)),
            )
        project = Path(folder) / "audited_project"
        peers = PEERS | (POSTGRES_PEERS if options.postgres else {})
        if options.only is not None:
            peers = {name: peers[name] for name in peers if name in options.only}
        refused = install(project, peers)
        names = [UNRECORDED, FLOOR, "ours", *(name for name in peers if name not in refused)]
        failed = dict(refused)
        rounds, sizes = measured(names, options.postgres, project, options.rounds, failed)
    for one in (UNRECORDED, FLOOR, "ours"):
        if one in failed:
            sys.exit(f"{one} failed: {failed[one]}")
    compared = compare(rounds)
    report("PostgreSQL" if options.postgres else "SQLite", compared, failed)
    print(f"\n  bytes an entry: {sizes}")
    if options.json:
        print(json.dumps({"compared": compared, "bytes_an_entry": sizes, "failed": failed}))


def write_config(folder: Path) -> str:
    """Keep cookiecutter's replay files away from the user's own."""
    config = folder / "config.yaml"
    config.write_text(f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/cloned\n")
    return str(config)


if __name__ == "__main__":
    main()
