"""Measure what a handoff costs and how soon jobs start.

The script bakes a project with the module handoff, and measures there:

- A write with its hand-off, as a multiple of the same write alone, on each database. Celery's
  delay_on_commit takes turns with both.
- A wait: how much longer the slowest percent of writes takes. The broker is up, refuses
  connections, or accepts them and never answers.
- A start: the time from the commit to the start of the job, with each broker.
- A flood: jobs per second through relay and worker, and messages per second through a relay, also
  with a backlog. It has also the seconds of one hand-off of many jobs, and the memory of a worker.
- Relays: the share of a core of an idle relay, and the messages of several relays at once.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.planted.interrupts import run_until_interrupted
from benchmarks.planting import Project, planted

DATABASES = ("postgresql", "sqlite")
BROKERS = ("redis", "rabbitmq", "memory")


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    add("--brokers", nargs="+", choices=BROKERS, default=list(BROKERS))
    add("--rounds", type=int, default=9, help="rounds of writes, of which the median counts (9)")
    add("--writes", type=int, default=150, help="writes of each kind in a round (150)")
    add("--jobs", type=int, default=1000, help="jobs of a flood (1000)")
    add("--backlog", type=int, default=100_000, help="jobs that are due besides (100000)")
    add("--many", type=int, default=10_000, help="jobs handed off at once, and of memory (10000)")
    add("--starts", type=int, default=100, help="jobs whose start is awaited (100)")
    add("--seconds", type=float, default=8, help="of each measurement of waits and idleness (8)")
    add("--relays", type=int, default=4, help="relays at once (4)")
    add("--python", help="an interpreter with the project's packages: nothing is installed")
    add("--postgresql", default="postgres://postgres@127.0.0.1:5432", help="URL of the server")
    add("--rabbitmq", default="amqp://guest:guest@127.0.0.1:5672//", help="URL of the server")
    add("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


class Measuring:
    """Measures in a project. Each measurement has its own database and broker."""

    def __init__(self, project: Project, folder: Path, options: argparse.Namespace) -> None:
        self._project, self._folder, self._options = project, folder, options
        self._number = 0

    def __call__(self, measure: str, database: str, broker: str, **words: Any) -> Any:
        """Measure something; return what ``benchmarks/planted/measures.py`` makes of it."""
        self._number += 1
        words |= {
            "measure": measure,
            "database": database,
            "broker": broker,
            "folder": str(self._folder / f"measure-{self._number}"),
            "postgresql": self._options.postgresql,
            "rabbitmq": self._options.rabbitmq,
        }
        output = self._project.run("apps.planted.measures", json.dumps(words))
        return json.loads(output.splitlines()[-1])


def measured(measure: Measuring, options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print everything."""
    database, broker = options.databases[0], options.brokers[0]
    found: dict[str, Any] = {}

    print(f"A write with a handoff, as a multiple of the write alone; broker: {broker}")
    print(f"  {'':14}{'handoff':>10}{'delay_on_commit':>18}")
    for name in options.databases:
        cost = measure("write", name, broker, rounds=options.rounds, writes=options.writes)
        found[name] = {"ours": cost["handoff"], "delay_on_commit": cost["delay_on_commit"]}
        print(f"  {name:14}{cost['handoff']:>10.2f}{cost['delay_on_commit']:>18.2f}", flush=True)

    found |= waits_measured(measure, options)

    print(f"\nFrom the commit to the start of a job, ms, and jobs per second; database: {database}")
    print(f"  {'':14}{'p50':>10}{'p95':>10}{'p99':>10}{'jobs/s':>10}")
    found["brokers"] = {}
    for name in options.brokers:
        row = {
            "latency_ms": measure("latency", database, name, jobs=options.starts),
            "jobs_per_second": measure("jobs", database, name, jobs=options.jobs),
        }
        found["brokers"][name] = row
        times = "".join(f"{row['latency_ms'][key]:>10.1f}" for key in ("p50", "p95", "p99"))
        print(f"  {name:14}{times}{row['jobs_per_second']:>10.1f}", flush=True)
    found |= found["brokers"][broker]

    found |= floods_measured(measure, options)
    found["idle_relay_share_of_a_core"] = measure("idle", database, broker, seconds=options.seconds)
    print(f"An idle relay takes {found['idle_relay_share_of_a_core']:.2%} of a core.")
    # The memory of a worker is a broker that no other process can reach.
    for shared in [name for name in options.brokers if name != "memory"][:1]:
        sent = measure("once", database, shared, jobs=options.jobs, relays=options.relays)
        found["several_relays"] = sent
        print(f"{options.relays} relays made {sent['messages']} messages of {sent['jobs']} jobs.")
    return found


def floods_measured(measure: Measuring, options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print how a relay, a hand-off and a worker do with very many jobs."""
    database, broker, many = options.databases[0], options.brokers[0], options.many
    found: dict[str, Any] = {}
    for name, waiting in (("messages_per_second", 0), ("with_a_backlog", options.backlog)):
        found[name] = measure("messages", database, broker, jobs=options.jobs, waiting=waiting)
    found["bulk_seconds"] = measure("bulk", database, broker, jobs=many)
    found["memory_mb"] = measure("memory", database, broker, jobs=many)
    print(f"\nOne relay sends {found['messages_per_second']} messages per second,")
    print(f"and {found['with_a_backlog']} while {options.backlog} more are due.")
    print(f"One hand-off of {many} jobs takes {found['bulk_seconds']} s.")
    memory = found["memory_mb"]
    print(f"A worker has {memory['before']} MB, and {memory['after']} after {many} more jobs.")
    return found


def waits_measured(measure: Measuring, options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print how long a write waits for a broker that can hang, where there is one."""
    hanging = [name for name in options.brokers if name != "memory"]
    if not hanging:
        return {}
    waits = measure("waits", options.databases[0], hanging[0], seconds=options.seconds)
    print(f"\nHow much longer a write takes at the 99th percentile, ms; broker: {hanging[0]}")
    print(f"  {'':14}{'handoff':>10}{'delay_on_commit':>18}")
    for state, row in waits.items():
        print(f"  {state:14}{row['handoff']:>10.1f}{row['delay_on_commit']:>18.1f}", flush=True)
    return {"blocked_ms_p99": waits}


def main() -> None:
    """Measure and print; with ``--json`` the last line holds all figures."""
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="handoff-") as temporary:
        folder = Path(temporary)
        found = measured(Measuring(planted(folder, options.python), folder, options), options)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    run_until_interrupted(main)
