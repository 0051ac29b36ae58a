"""Measures what a handoff costs and how soon jobs start: ``benchmarks/handoff.py`` says what.

Runs inside a project. Ways that are compared take turns in one process.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import django
from django.db import connections, transaction

from .brokers import Broker, broker_of
from .databases import own_database
from .interrupts import run_until_interrupted
from .processes import RELAY, Processes, worker

HandOff = Callable[[uuid.UUID], object]

# The floor, ours and its peer.
WAYS: Final = ("nothing", "handoff", "delay_on_commit")

# Seconds after which something hangs, also on a busy machine.
DEADLINE: Final = 3600


def hand_offs() -> dict[str, HandOff]:
    """Return every way of handing off."""
    from .arms import ARMS

    return {name: ARMS[name]() for name in WAYS}


def write(hand_off: HandOff) -> float:
    """Commit an order and hand its job off; return the seconds that took."""
    from .models import Order

    order = Order()
    start = time.perf_counter()
    try:
        with transaction.atomic():
            order.save(force_insert=True)
            hand_off(order.pk)
    except Exception:  # noqa: BLE001, S110 - the broker's: the row is committed, and time was spent
        pass
    return time.perf_counter() - start


def share_one_core() -> None:
    """Let this process and the one of its PostgreSQL take turns on one core, if they may.

    On two cores they wake each other for every statement, and the time of that varies by half.
    """
    connection = connections["default"]
    if connection.vendor != "postgresql" or not hasattr(os, "sched_setaffinity"):
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((server,),) = cursor.fetchall()
    core = {max(os.sched_getaffinity(0))}
    with suppress(PermissionError, ProcessLookupError):
        os.sched_setaffinity(server, core)
        os.sched_setaffinity(0, core)


def cost_of_a_write(rounds: int, writes: int) -> dict[str, float]:
    """Return how many plain writes one with a handoff costs: the median over rounds."""
    share_one_core()
    ways = hand_offs()
    ratios: dict[str, list[float]] = {name: [] for name in ways if name != "nothing"}
    for number in range(rounds + 1):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(writes):
            for name in random.sample(list(ways), len(ways)):
                times[name].append(write(ways[name]))
        if number:  # the first round opens connections
            floor = statistics.median(times["nothing"])
            for name, found in ratios.items():
                found.append(statistics.median(times[name]) / floor)
    return {name: round(statistics.median(found), 2) for name, found in ratios.items()}


def longer_writes(seconds: float) -> dict[str, float]:
    """Return how many ms longer than a plain write others take, at the 99th percentile."""
    ways = hand_offs()
    for hand_off in ways.values():  # the first opens connections
        write(hand_off)
    times: dict[str, list[float]] = {name: [] for name in ways}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in random.sample(list(ways), len(ways)):
            times[name].append(write(ways[name]))
    floor = percentile(times.pop("nothing"), 99)
    return {name: round(1000 * (percentile(t, 99) - floor), 1) for name, t in times.items()}


def latencies(notes: Path, jobs: int) -> list[float]:
    """Return the seconds from the commit of each job to its start, handed off one by one."""
    from .arms import ARMS
    from .models import Order

    hand_off, committed = ARMS["handoff"](), {}
    for _ in range(jobs):
        order = Order()
        with transaction.atomic():
            order.save(force_insert=True)
            hand_off(order.pk)
        committed[str(order.pk)] = time.monotonic()
        # Not in step with the relay's looks at the outbox.
        time.sleep(random.uniform(0.05, 0.25))  # noqa: S311
    started = started_at(notes, set(committed))
    return [started[order] - at for order, at in committed.items()]


def jobs_per_second(notes: Path, jobs: int) -> float:
    """Return how many of many jobs, committed at once, are carried out in a second."""
    orders = commit_at_once(jobs)
    start = time.monotonic()
    return jobs / (max(started_at(notes, orders).values()) - start)


def commit_at_once(jobs: int) -> set[str]:
    """Commit orders and their jobs in one transaction; return the orders' keys."""
    from .arms import ARMS
    from .models import Order

    hand_off, orders = ARMS["handoff"](), [Order() for _ in range(jobs)]
    with transaction.atomic():
        Order.objects.bulk_create(orders)
        for order in orders:
            hand_off(order.pk)
    return {str(order.pk) for order in orders}


def started_at(notes: Path, orders: set[str]) -> dict[str, float]:
    """Wait until jobs have noted their start, and return when that was, by order.

    Raises:
        TimeoutError: when not all have in time.
    """
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        lines = notes.read_text().splitlines() if notes.exists() else []
        started = {order: float(at) for order, at in map(str.split, lines)}
        if orders <= started.keys():
            return started
        time.sleep(0.1)
    raise TimeoutError(f"{len(orders - started.keys())} of {len(orders)} jobs were not started.")


def commit_in_bulk(jobs: int) -> float:
    """Hand jobs off in one go, without orders; return the seconds that took."""
    from apps.core.jobs import hand_off_many

    from .tasks import fulfil

    arguments = [(str(uuid.uuid4()),) for _ in range(jobs)]
    start = time.perf_counter()
    with transaction.atomic():
        hand_off_many(fulfil, arguments)
    return time.perf_counter() - start


def messages_per_second(messages: int, waiting: int) -> float:
    """Return how many messages one relay sends in a second while so many and more wait."""
    from apps.handoff import relay

    # No worker takes any from the broker.
    relay.WINDOW = 10 * messages
    sender = relay.Relay()
    commit_in_bulk(1)
    sender.send_due()  # this one opens the connection
    commit_in_bulk(relay.BATCH + messages + waiting)
    connections.close_all()  # a relay has one to itself
    sender.send_due()
    start = time.perf_counter()
    for _ in range(0, messages, relay.BATCH):
        sender.send_due()
    return messages / (time.perf_counter() - start)


def share_of_a_core(seconds: float) -> float:
    """Return the share of a processor's time that a relay takes when nothing is due."""
    from apps.handoff.relay import Relay

    relay = Relay()
    relay.start()
    time.sleep(1)
    start, used = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    share = (time.process_time() - used) / (time.perf_counter() - start)
    relay.stop()
    return share


def sent_by_many(processes: Processes, queue: str, relays: int, jobs: int) -> int:
    """Return how many messages several relays make of some jobs."""
    from apps.handoff.models import Handoff

    commit_at_once(jobs)
    for number in range(relays):
        processes.start(f"relay-{number}", *RELAY)
    end = time.monotonic() + DEADLINE
    while Handoff.objects.filter(queue=queue, sends=0).exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    return waiting(queue)


def waiting(queue: str) -> int:
    """Return how many messages wait in a queue."""
    from apps.handoff.celery_app import app

    with app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)


def megabytes(session: int) -> float:
    """Return the memory in use of all processes of a session."""
    words = ["ps", "-o", "rss=", "-s", str(session)]
    listed = subprocess.run(words, capture_output=True, text=True, check=True)
    return round(sum(map(int, listed.stdout.split())) / 1024, 1)


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


class Place:
    """A database, a broker, a queue and a file of notes that one measurement uses alone."""

    def __init__(self, folder: Path, database: str, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        self.queue, self.notes = f"load-{uuid.uuid4().hex}", folder / "notes"
        self.environment = {
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker.url,
            "LOAD_QUEUE": self.queue,
            "LOAD_NOTES": str(self.notes),
        }

    @contextmanager
    def with_worker(self, processes: int) -> Iterator[int]:
        """Run a worker, with its relay, that has shown that it works; give its process's number."""
        with Processes(self.folder, self.environment) as all_processes:
            words = worker("handoff", 0, self.queue, processes)
            running = all_processes.start("worker-0", *words)
            started_at(self.notes, commit_at_once(4 * processes))
            yield running.pid


def measure_write(place: Place, words: dict[str, Any]) -> dict[str, float]:
    """Compare the cost of a write."""
    return cost_of_a_write(words["rounds"], words["writes"])


def measure_latency(place: Place, words: dict[str, Any]) -> dict[str, float]:
    """Measure the time from the commit to the start, in ms."""
    with place.with_worker(2):
        found = latencies(place.notes, words["jobs"])
    return {f"p{p}": round(1000 * percentile(found, p), 1) for p in (50, 95, 99)}


def measure_jobs(place: Place, words: dict[str, Any]) -> float:
    """Measure jobs per second through relay and worker."""
    with place.with_worker(2):
        return round(jobs_per_second(place.notes, words["jobs"]), 1)


def measure_messages(place: Place, words: dict[str, Any]) -> float:
    """Measure messages per second through a relay."""
    return round(messages_per_second(words["jobs"], words["waiting"]))


def measure_bulk(place: Place, words: dict[str, Any]) -> float:
    """Measure the seconds of one hand-off of many jobs."""
    commit_in_bulk(1)  # this one opens the connection
    return round(commit_in_bulk(words["jobs"]), 3)


def measure_memory(place: Place, words: dict[str, Any]) -> dict[str, float]:
    """Measure the megabytes of a worker and its processes, before many jobs and after."""
    with place.with_worker(2) as number:
        started_at(place.notes, commit_at_once(words["jobs"] // 10))
        before = megabytes(number)
        started_at(place.notes, commit_at_once(words["jobs"]))
        return {"before": before, "after": megabytes(number)}


def measure_idle(place: Place, words: dict[str, Any]) -> float:
    """Measure the share of a core of a relay that has nothing to do."""
    return round(share_of_a_core(words["seconds"]), 4)


def measure_once(place: Place, words: dict[str, Any]) -> dict[str, int]:
    """Count the messages of several relays."""
    with Processes(place.folder, place.environment) as processes:
        jobs = min(words["jobs"], 900)  # below what a relay leaves at the broker
        messages = sent_by_many(processes, place.queue, words["relays"], jobs)
    return {"jobs": jobs, "messages": messages}


def measure_waits(place: Place, words: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Compare how much longer writes take with the broker up, refusing and hung."""
    found = {"up": longer_writes(words["seconds"])}
    place.broker.down()
    found["refusing"] = longer_writes(words["seconds"])
    place.broker.up()
    place.broker.hang()
    found["hung"] = longer_writes(words["seconds"])
    place.broker.release()
    return found


MEASURES: Final[dict[str, Callable[[Place, dict[str, Any]], Any]]] = {
    "write": measure_write,
    "latency": measure_latency,
    "jobs": measure_jobs,
    "messages": measure_messages,
    "bulk": measure_bulk,
    "memory": measure_memory,
    "idle": measure_idle,
    "once": measure_once,
    "waits": measure_waits,
}


def main(argument: str) -> None:
    """Measure what the JSON says; the result, as JSON, is the last line of standard output."""
    words: dict[str, Any] = json.loads(argument)
    folder = Path(words["folder"])
    folder.mkdir()
    with own_database(words["database"], folder, words["postgresql"]) as database:
        broker = broker_of(words["broker"], folder, words["rabbitmq"])
        place = Place(folder, database, broker)
        try:
            os.environ.update(place.environment)
            migrate = ("manage.py", "migrate", "--run-syncdb", "--verbosity=0")
            subprocess.run([sys.executable, *migrate], check=True)
            django.setup()
            result = MEASURES[words["measure"]](place, words)
        finally:
            broker.close(place.queue)
    print(json.dumps(result))


if __name__ == "__main__":
    run_until_interrupted(partial(main, sys.argv[1]))
