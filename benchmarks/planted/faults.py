"""Lets producers write orders while processes are killed and brokers fail, and counts effects.

Runs inside a project: ``benchmarks/faults.py`` plants it there and says what to do.
"""

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import django

from .brokers import Broker, broker_of
from .databases import cut_connections, own_database
from .interrupts import run_until_interrupted
from .processes import RELAY, Kept, Processes, Producers, worker

KILLS: Final = ("producer", "worker", "child", "relay")
# For so many kills, one of each of these.
KILLS_FOR_A_FAULT: Final = {
    "broker down": 25, "broker wiped": 25, "broker hung": 50, "connections cut": 10,
}  # fmt: skip
# Of ten kills, so many of each process.
SHARES: Final = {"producer": 5, "child": 2, "worker": 1, "relay": 2}
# Pauses between writes fill this share of the time; the rest goes to writes and outages.
PRODUCING: Final = 0.4
# Seconds without a job, longer than Redis takes to give back what a killed worker held.
HOPELESS: Final = 30
# Seconds within which a program without work ends when it is told to.
ENDING: Final = 60
FAULTS: Final = ("mixed", "none", *KILLS, *KILLS_FOR_A_FAULT)


@dataclass(frozen=True)
class Plan:
    """The plan of a run. Times are in seconds."""

    broker: str
    database: str
    jobs: int
    kills: int
    fault: str
    seconds: float
    grace: float
    outage: float
    producers: int
    workers: int
    processes: int
    relays: int
    rollback: float
    patience: float
    ticks: bool
    seed: int

    def schedule(self, arm: str) -> list[str]:
        """Return the faults in the order in which they happen."""
        chooser = random.Random(self.seed)  # noqa: S311
        shares = {name: share for name, share in SHARES.items() if self.has(name, arm)}
        if self.fault == "none":
            return []
        if self.fault != "mixed":
            return [self.fault] * self.kills if self.has(self.fault, arm) else []
        kills = chooser.choices(list(shares), list(shares.values()), k=self.kills)
        others = [
            name
            for name, kills_for_one in KILLS_FOR_A_FAULT.items()
            if self.has(name, arm)
            for _ in range(max(1, self.kills // kills_for_one))
        ]
        faults = kills + others
        chooser.shuffle(faults)
        return faults

    def has(self, fault: str, arm: str) -> bool:
        """Say whether a fault can happen at all."""
        if fault == "relay":
            return arm == "handoff" and self.relays > 0
        if fault == "producer":
            return not self.ticks
        if fault.startswith("broker"):
            return self.broker != "memory"
        return fault != "connections cut" or self.database == "postgresql"


@dataclass(frozen=True)
class Outcome:
    """The figures of one way of handing jobs off. ``outside`` is about a file of the jobs.

    ``lost`` counts committed orders that will not be carried out. ``under_way`` counts those whose
    jobs still waited or ran when the time was over. ``stuck`` counts programs that did not end
    when they were told to. ``outside_after`` counts the jobs with repeated effects outside, by the
    error of an earlier attempt.
    """

    committed: int
    lost: int
    under_way: int
    phantom: int
    duplicate_effects: int
    duplicate_outside: int
    kills: int
    faults: dict[str, int]
    restarts: int
    stuck: int
    seconds: int
    outside_after: dict[str, int]
    # These are about producers, and 0 for ticks.
    rolled_back: int = 0
    refused: int = 0
    blocked_ms_max: int = 0


class Run:
    """One way of handing jobs off, through all the faults."""

    def __init__(
        self, plan: Plan, arm: str, folder: Path, database: str, broker: Broker, queue: str
    ) -> None:
        self._plan, self._arm, self._folder, self._broker = plan, arm, folder, broker
        self._queue, self._notes = queue, folder / f"{arm}-notes"
        self._done: Counter[str] = Counter()
        self._environment = {
            "CELERY_BROKER_URL": broker.url,
            "LOAD_QUEUE": self._queue,
            "LOAD_NOTES": str(self._notes),
            "DATABASE_URL": database,
            "LOAD_PATIENCE": str(plan.patience or ""),
            "LOAD_TICKS": str(folder / "ticking") if plan.ticks else "",
        }

    def outcome(self) -> Outcome:
        """Produce, fail, heal, wait for what is missing, and count."""
        plan = self._plan
        start = time.monotonic()
        with Processes(self._folder, self._environment) as processes:
            self._kept = list(self._start_kept(processes))
            self._begin(processes)
            self._produce(start + plan.seconds)
            self._end()
            self._wait_for_the_missing()
            stuck = sum(not ended for ended in [kept.end(ENDING) for kept in self._kept])
        return self._count(int(time.monotonic() - start), stuck)

    def _begin(self, processes: Processes) -> None:
        plan = self._plan
        pause = plan.producers * PRODUCING * plan.seconds / plan.jobs
        self._producers = Producers(processes, self._folder, self._arm, pause, plan.rollback)
        for number in range(plan.producers):
            self._producers.start(number)

    def _end(self) -> None:
        # A producer may wait 20 seconds for the lock of SQLite.
        self._producers.end(25)

    def _committed(self) -> int:
        from .models import Order

        return int(Order.objects.count())

    def _start_kept(self, processes: Processes) -> Iterator[Kept]:
        for number in range(self._plan.workers):
            words = worker(self._arm, number, self._queue, self._plan.processes)
            yield Kept(processes, f"worker-{number}", *words)
        if self._arm == "handoff":
            for number in range(self._plan.relays):
                yield Kept(processes, f"relay-{number}", *RELAY)

    def _produce(self, end: float) -> None:
        """Let faults happen, evenly over the jobs, until all have and the jobs are committed.

        The end comes before, but not on a machine so slow that no process was killed by then.
        """
        schedule = self._plan.schedule(self._arm)
        total = len(schedule)
        while time.monotonic() < end or not self._has_killed():
            committed = self._committed()
            if committed >= self._plan.jobs and not schedule:
                return
            due = total * committed / self._plan.jobs
            if schedule and total - len(schedule) < due:
                fault = schedule.pop()
                self._fault(fault)
                self._done[fault] += 1
            else:
                time.sleep(0.05)
            for kept in self._kept:
                kept.keep()

    def _has_killed(self) -> bool:
        return any(self._done[name] for name in KILLS)

    def _fault(self, fault: str) -> None:
        workers = [kept for kept in self._kept if kept not in self._relays()]
        happen: dict[str, Callable[[], object]] = {
            "producer": lambda: self._producers.kill(),
            "worker": lambda: random.choice(workers).kill(),  # noqa: S311
            "child": lambda: random.choice(workers).kill_child(),  # noqa: S311
            "relay": lambda: random.choice(self._relays()).kill(),  # noqa: S311
            "broker down": lambda: self._outage(self._broker.down, self._broker.up),
            "broker hung": lambda: self._outage(self._broker.hang, self._broker.release),
            "broker wiped": lambda: self._broker.wipe(self._queue),
            "connections cut": cut_connections,
        }
        happen[fault]()

    def _relays(self) -> list[Kept]:
        return self._kept[self._plan.workers :]

    def _outage(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()
        try:
            time.sleep(self._plan.outage)
        finally:
            end()

    def _wait_for_the_missing(self) -> None:
        """Wait until every committed order is carried out, or for the grace at most.

        Only the outbox sends jobs again. Without it the wait ends soon after the last job.
        """
        end = time.monotonic() + self._plan.grace
        before, changed = 0, time.monotonic()
        while (missing := self._missing()) and time.monotonic() < end:
            if missing != before:
                before, changed = missing, time.monotonic()
            if self._arm != "handoff" and time.monotonic() - changed > HOPELESS:
                break
            for kept in self._kept:
                kept.keep()
            time.sleep(0.5)
        # Jobs that are still under way may run a second time.
        time.sleep(min(5, self._plan.grace))

    def _missing(self) -> int:
        from .models import Effect, Order

        missing = Order.objects.exclude(pk__in=Effect.objects.values("order_id"))
        return int(missing.count())

    def _unfinished(self) -> set[str]:
        """Return the orders whose job the outbox holds and has not given up."""
        if self._arm != "handoff":
            return set()
        from apps.handoff.models import Handoff

        return {self._key(row) for row in Handoff.objects.filter(due_at__isnull=False)}

    def _key(self, row: Any) -> str:
        """Return the key under which a row's job writes its effects."""
        return str(row.loaded_arguments()[0][0])

    def _errors(self, outside: Counter[str]) -> dict[str, int]:
        """Count jobs with repeated effects outside of the database, by the error before."""
        if self._arm != "handoff":
            return {}
        from apps.handoff.models import Handoff

        rows = [row for row in Handoff.objects.all() if outside[self._key(row)] > 1]
        return dict(Counter(row.error.rpartition(".")[2] or "no error" for row in rows))

    def _count(self, seconds: int, stuck: int) -> Outcome:
        from .models import Effect, Order

        orders = {str(pk) for pk in Order.objects.values_list("pk", flat=True)}
        effects = Counter(str(pk) for pk in Effect.objects.values_list("order_id", flat=True))
        outside = self._outside()
        missing = {order for order in orders if not (effects[order] and outside[order])}
        under_way = missing & self._unfinished()
        return self._outcome(
            outside,
            committed=len(orders),
            lost=len(missing - under_way),
            under_way=len(under_way),
            phantom=len((effects.keys() | outside.keys()) - orders),
            duplicate_effects=sum(count - 1 for count in effects.values()),
            rolled_back=self._producers.count("rolled_back"),
            refused=self._producers.count("refused"),
            blocked_ms_max=round(self._producers.longest_wait() * 1000),
            seconds=seconds,
            stuck=stuck,
        )

    def _outside(self) -> Counter[str]:
        text = self._notes.read_text() if self._notes.exists() else ""
        return Counter(line.split()[0] for line in text.splitlines())

    def _outcome(self, outside: Counter[str], **counts: int) -> Outcome:
        return Outcome(
            **counts,
            duplicate_outside=sum(count - 1 for count in outside.values()),
            outside_after=self._errors(outside),
            kills=sum(self._done[name] for name in KILLS),
            faults=dict(self._done),
            restarts=sum(kept.ended_by_itself for kept in self._kept),
        )


def outcomes(
    plan: Plan, arms: list[str], folder: Path, server: str, rabbitmq: str
) -> dict[str, Outcome]:
    """Run each arm in turn on the same broker and database."""
    found = {}
    with own_database(plan.database, folder, server) as database:
        os.environ["DATABASE_URL"] = database
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity=0"], check=True
        )
        django.setup()
        from .models import Effect, Order
        from .ticks import TickRun

        kind = TickRun if plan.ticks else Run
        for arm in arms:
            place = folder / arm
            place.mkdir()
            broker, queue = broker_of(plan.broker, place, rabbitmq), f"load-{uuid.uuid4().hex}"
            try:
                found[arm] = kind(plan, arm, place, database, broker, queue).outcome()
            finally:
                broker.close(queue)
            Order.objects.all().delete()
            Effect.objects.all().delete()
            print(f"  {arm}: done in {found[arm].seconds} s", file=sys.stderr, flush=True)
    return found


def main(argument: str) -> None:
    """Do what the JSON says; the outcomes, as JSON, are the last line of standard output."""
    words: dict[str, Any] = json.loads(argument)
    plan = Plan(**words["plan"])
    random.seed(plan.seed)
    folder = Path(words["folder"])
    found = outcomes(plan, words["arms"], folder, words["postgresql"], words["rabbitmq"])
    print(json.dumps({arm: asdict(outcome) for arm, outcome in found.items()}))


if __name__ == "__main__":
    run_until_interrupted(partial(main, sys.argv[1]))
