"""Measure what the audit trail costs once it is long: writes, pages, seals, bytes and pruning.

A project with the module is baked. It gets two databases of a PostgreSQL server: one keeps a short
trail, the other is filled by one ``INSERT … SELECT``. Both are dropped at the end.

It reports:

- writes: the CPU time of an audited write in the long trail, as a multiple of the short one
- pages: queries and milliseconds of each page, and its CPU time as a multiple of the one before
  the database was filled
- seals: entries a second, by CPU time and by the clock, and the highest memory of the process
  after a tenth of the entries and after all
- bytes: the size of an entry in the table, in each index and in the seals
- pruning: the seconds of removing a tenth of the entries

CPU time is that of the process and of the server's process that serves it, so the server must run
on this machine. It leaves out the workers that the server starts for a parallel plan. Times by the
clock are right on an idle machine only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.throwaway import MISLEADING, bake, installed, run  # noqa: E402

INSIDE = ROOT / "benchmarks" / "inside" / "growth.py"
EXECUTE = "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])"


@contextmanager
def own_database(python: str, server: str, folder: Path) -> Iterator[str]:
    """Make a database and give its URL; drop it at the end."""
    name = f"audit_growth_{uuid4().hex[:12]}"
    run([python, "-c", EXECUTE, f"{server}/postgres", f"CREATE DATABASE {name}"], folder)
    try:
        yield f"{server}/{name}"
    finally:
        drop = f"DROP DATABASE {name} WITH (FORCE)"
        run([python, "-c", EXECUTE, f"{server}/postgres", drop], folder)


def measured(python: str, project: Path, *arguments: str) -> dict[str, Any]:
    """Measure inside the project, however long it takes; return the figures.

    Raises:
        SystemExit: when it fails, with its exit status.
    """
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment |= {"DEBUG": "1", "LOG_LEVEL": "ERROR", "PYTHONPATH": "."}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [python, str(INSIDE), *arguments],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    filling = found["filling_seconds"]
    print(f"A trail of {found['entries']:,} entries, filled in {filling['insert']:.0f} s")
    print(f"and vacuumed in {filling['vacuum']:.0f} s\n")
    print(f"  {'write':26}{'x short trail':>14}{'CPU µs':>10}{'µs':>10}")
    for name, one in found["writes"].items():
        row = f"{one['over_short']:>14.2f}{one['cpu_microseconds']:>10.0f}"
        print(f"  {name:26}{row}{one['microseconds']:>10.0f}")
    print(f"\n  {'page':26}{'queries':>10}{'first ms':>10}{'ms':>8}{'CPU ms':>8}{'x short':>9}")
    for name, one in found["pages"].items():
        row = f"{one['first_milliseconds']:>10.0f}{one['milliseconds']:>8.0f}"
        row += f"{one['cpu_milliseconds']:>8.0f}{one['over_short']:>9.2f}"
        print(f"  {name:26}{one['queries']:>10}{row}")
    print()
    for name, one in found["seals"].items():
        print(
            f"  {name:10}{one['entries_a_second']:>10,.0f} entries a second,"
            f" {one['entries_a_cpu_second']:,.0f} of CPU time; memory {one['mb_after_a_tenth']} MB"
            f" after a tenth, {one['mb_after_all']} MB after all"
        )
    print("\n  bytes an entry")
    for name, size in found["bytes_an_entry"].items():
        print(f"    {name:24}{size:>8.1f}")
    pruning = found["pruning"]
    print(
        f"\n  {pruning['entries']:,} entries pruned in {pruning['seconds']:.1f} s,"
        f" {pruning['cpu_seconds']:.1f} s of CPU time"
    )


def main() -> None:
    """Bake, fill, measure and print; with ``--json`` the last line holds the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--entries", type=int, default=10_000_000, help="entries of the long trail (10000000)")
    add("--rounds", type=int, default=9, help="turns of each write and page (9)")
    add("--server", default="postgres://postgres@127.0.0.1:5432", help="URL of the server")
    add("--python", type=Path, help="an interpreter with the project's packages")
    add("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        project = bake(ROOT, Path(folder), modules=("audit",))
        python = str(options.python or installed(project))
        databases = [
            stack.enter_context(own_database(python, options.server, project)) for _ in range(2)
        ]
        found = measured(python, project, *databases, str(options.entries), str(options.rounds))
    report(found)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
