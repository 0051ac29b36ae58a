"""Count lost and repeated jobs while processes are killed and the broker fails.

The script bakes a project with the module handoff. Producers commit orders, each with a job, and
roll one in ten back. Workers run the jobs: each writes to the database, and then to a file outside
of it. Meanwhile the script does this:

- It kills producers, workers, their child processes and relays (kill -9).
- It stops, freezes and empties the broker.
- It cuts half of the connections to the database.

Then it does the same with Celery's usual way, on_commit and delay. With --ticks the relays hand
off periodic jobs in the place of orders. In the end the script counts:

- lost: committed orders whose job was not run, and will not be.
- under way: jobs that still wait in the outbox when the time is over.
- phantom: jobs that ran for a row that was rolled back.
- repeated: effects that happened more than once.
- stuck: programs that did not end when they were told to.

The exit status is 1 if the module has any of these in the database. A kill or a cut between an
effect in the file and the commit must repeat the effect. So these repeats are counted apart, by
the error of the attempt before. They become more frequent when the machine is busy, because the
commit then takes longer.

A run shares no data with other runs. It starts and kills its own redis-server. On a RabbitMQ
server it has its own queue, behind a proxy that it can shut. It has its own database.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.planted.interrupts import run_until_interrupted
from benchmarks.planting import planted

ARMS = ("handoff", "plain")
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
BROKERS = {"memory": "the memory of its workers", "redis": "Redis", "rabbitmq": "RabbitMQ"}
FAULTS = (
    "mixed", "none", "producer", "worker", "child", "relay", "broker down", "broker wiped",
    "broker hung", "connections cut",
)  # fmt: skip
ROWS = {
    "committed": "committed jobs",
    "lost": "lost",
    "under_way": "still under way",
    "phantom": "run for a rolled-back row",
    "duplicate_effects": "repeated effects in the database",
    "duplicate_outside": "repeated effects outside of it",
    "rolled_back": "rolled-back rows",
    "refused": "writes that raised",
    "blocked_ms_max": "longest wait of a writer, ms",
    "kills": "kills",
    "restarts": "programs that ended by themselves",
    "stuck": "programs that did not end",
    "seconds": "seconds",
}
# These figures must be 0 at the end of a run.
FAILURES = ("lost", "under_way", "phantom", "duplicate_effects", "stuck")


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--broker", choices=BROKERS, default="memory")
    add("--database", choices=DATABASES, default="sqlite")
    add("--jobs", type=int, default=1000, help="committed jobs to aim at (1000)")
    add("--kills", type=int, default=20, help="kills, or faults of the one kind (20)")
    add("--faults", choices=FAULTS, default="mixed", help="which faults (mixed)")
    add("--seconds", type=float, default=60, help="bound of the writing, for each way (60)")
    add("--grace", type=float, default=60, help="longest wait for what is missing after it (60)")
    add("--outage", type=float, default=2, help="seconds that a broker is down or hangs (2)")
    add("--producers", type=int, default=2, help="producers at a time (2)")
    add("--workers", type=int, default=2, help="workers (2)")
    add("--processes", type=int, default=4, help="child processes of each worker (4)")
    add("--relays", type=int, default=1, help="relays beside the workers (1)")
    add("--rollback", type=float, default=0.1, help="share of transactions rolled back (0.1)")
    add("--patience", type=float, default=0, help="seconds until a job is sent again (as shipped)")
    add("--ticks", action="store_true", help="periodic jobs in the place of orders")
    add("--seed", type=int, default=1, help="of the order of the faults (1)")
    add("--only", choices=ARMS, help="one of the two ways alone")
    add("--python", help="an interpreter with the project's packages: nothing is installed")
    add("--postgresql", default="postgres://postgres@127.0.0.1:5432", help="URL of the server")
    add("--rabbitmq", default="amqp://guest:guest@127.0.0.1:5672//", help="URL of the server")
    add("--keep", type=Path, help="a new folder for the project and the logs, to look at later")
    add("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


def arms_of(options: argparse.Namespace) -> list[str]:
    """Return the ways to run.

    In memory no other process can hand a job to a worker, and no other way has ticks.
    """
    if options.broker == "memory":
        options.relays = 0
    if options.broker == "memory" or options.ticks:
        return ["handoff"]
    return [options.only] if options.only else list(ARMS)


def main() -> None:
    """Run and print; with ``--json`` the last line holds all figures."""
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = Path(temporary)
        if options.keep:
            folder = options.keep.resolve()
            folder.mkdir(parents=True)
        project = planted(folder, options.python)
        runs = folder / "runs"
        runs.mkdir()
        keys = (
            "broker", "database", "jobs", "kills", "seconds", "grace", "outage", "producers",
            "workers", "processes", "relays", "rollback", "patience", "ticks", "seed",
        )  # fmt: skip
        arms = arms_of(options)
        words = {
            "plan": {key: getattr(options, key) for key in keys} | {"fault": options.faults},
            "arms": arms,
            "folder": str(runs),
            "postgresql": options.postgresql,
            "rabbitmq": options.rabbitmq,
        }
        output = project.run("apps.planted.faults", json.dumps(words))
    found: dict[str, dict[str, Any]] = json.loads(output.splitlines()[-1])
    report(options, found)
    if options.json:
        print(json.dumps(flattened(found)))
    if wrong := {name: n for name in FAILURES if (n := found.get("handoff", {}).get(name))}:
        sys.exit(f"The run has failed: {wrong}.")


def flattened(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Put the template's own figures on top and those of the usual way below ``plain``."""
    own = found.get("handoff", {})
    return own | ({"plain": found["plain"]} if "plain" in found else {})


def report(options: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Print a table for people."""
    print(f"{DATABASES[options.database]} and {BROKERS[options.broker]}, faults: {options.faults}")
    titles = {"handoff": "handoff", "plain": "on_commit + delay"}
    print(f"\n{'':36}" + "".join(f"{titles[arm]:>20}" for arm in found))
    for key, label in ROWS.items():
        print(f"{label:36}" + "".join(f"{outcome[key]:>20}" for outcome in found.values()))
    kinds = sorted({kind for outcome in found.values() for kind in outcome["faults"]})
    for kind in kinds:
        counts = (outcome["faults"].get(kind, 0) for outcome in found.values())
        print(f"  {kind:34}" + "".join(f"{count:>20}" for count in counts))
    if after := found.get("handoff", {}).get("outside_after"):
        print("Effects repeated outside of the database, by the error of the attempt before:")
        print("\n".join(f"  {error:34}{count:>20}" for error, count in after.items()))


if __name__ == "__main__":
    run_until_interrupted(main)
