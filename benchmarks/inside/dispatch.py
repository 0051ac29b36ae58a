"""Runs inside a baked project and measures what the kit adds to a dispatch.

The argument is the number of rounds; the last line is JSON.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import django

django.setup()

from apps.accounts.models import User  # noqa: E402
from apps.core import watch  # noqa: E402
from apps.core.dispatch import receiver  # noqa: E402
from apps.core.signals import bulk_created, bulk_deleted, bulk_updated  # noqa: E402
from apps.signal_map import tracing  # noqa: E402
from apps.signal_map.document import document  # noqa: E402
from apps.signal_map.entries import read_entries  # noqa: E402
from apps.signal_map.formats import table  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db.models.signals import ModelSignal  # noqa: E402

RECEIVERS = (0, 1, 5, 20)
SENDS = 2000
IN_THE_MAP = 200
IN_BULK = 1000


@dataclass(frozen=True)
class Kind:
    """A way to connect receivers and to send to them."""

    connect: Callable[[ModelSignal, Callable[..., None]], object]
    timed: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


def plainly(signal: ModelSignal, function: Callable[..., None]) -> object:
    """Connect as Django does."""
    return signal.connect(function, sender=User, weak=False)


def with_the_kit(signal: ModelSignal, function: Callable[..., None]) -> object:
    """Connect as the project does."""
    return receiver(signal, sender=User)(function)


KINDS = {
    "Django": Kind(plainly),
    "kit": Kind(with_the_kit),
    "kit, timing on": Kind(with_the_kit, timed=True),
    "kit, timed": Kind(with_the_kit, timed=True, around=lambda: tracing.tracing("GET")),
}


def made(number: int) -> Callable[..., None]:
    """Make a receiver that does nothing."""

    def listen(sender: Any, instance: Any, created: bool, using: str, **kwargs: Any) -> None:
        """Do nothing."""

    listen.__qualname__ = listen.__name__ = f"listen_{number}"
    return listen


def seconds(signal: ModelSignal, kind: Kind) -> float:
    """Return the time of one send, from many."""
    user = User()
    watch.watcher = tracing if kind.timed else None
    with kind.around():
        start = time.perf_counter()
        for _ in range(SENDS):
            signal.send(
                User, instance=user, created=True, raw=False, using="default", update_fields=None
            )
        return (time.perf_counter() - start) / SENDS


def measure(rounds: int) -> dict[tuple[int, str], float]:
    """Let the subjects take turns; return the median microseconds of each."""
    subjects = {}
    for number in RECEIVERS:
        for name, kind in KINDS.items():
            signal = ModelSignal(use_caching=True)
            for each in range(number):
                kind.connect(signal, made(each))
            subjects[number, name] = (signal, kind)
    found: dict[tuple[int, str], list[float]] = {key: [] for key in subjects}
    for turn in range(rounds + 1):
        for key, subject in subjects.items():
            taken = seconds(*subject)
            if turn:  # the first only fills caches
                found[key].append(taken * 1e6)
    watch.watcher = None
    return {key: statistics.median(values) for key, values in found.items()}


def map_milliseconds(rounds: int) -> float:
    """Return the CPU time of reading and writing a map of many receivers."""
    signals = [ModelSignal() for _ in range(10)]
    for number in range(IN_THE_MAP):
        receiver(signals[number % 10], sender=User)(made(number))
    found = []
    for turn in range(rounds + 1):
        start = time.process_time()
        entries = read_entries()
        document(entries)
        table(entries, width=80)
        if turn:
            found.append((time.process_time() - start) * 1e3)
    if len(entries) < IN_THE_MAP:
        sys.exit(f"The map has {len(entries)} receivers instead of {IN_THE_MAP}.")
    return statistics.median(found)


def bulk_ratios(rounds: int) -> dict[str, float]:
    """Compare bulk writes of a model that opts in with Django's own, in CPU time; return multiples."""

    def heard(sender: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def rows() -> list[User]:
        return [User(username=str(number)) for number in range(IN_BULK)]

    writes: dict[str, Callable[[Any], object]] = {
        "bulk_create": lambda users: users.bulk_create(rows()),
        "bulk_update": lambda users: users.bulk_update(list(users.all()), ["first_name"]),
        "update": lambda users: users.update(first_name="a"),
        "delete": lambda users: users.all().delete(),
    }
    plain, telling = User._base_manager, User.objects
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):
        for kind, users in (("Django", plain), ("unheard", telling), ("heard", telling)):
            for signal in (bulk_created, bulk_updated, bulk_deleted):
                signal.disconnect(heard, sender=User)
                if kind == "heard":
                    signal.connect(heard, sender=User)
            for name, write in writes.items():
                start = time.process_time()
                write(users)
                if turn:
                    times.setdefault((name, kind), []).append(time.process_time() - start)
    medians = {key: statistics.median(values) for key, values in times.items()}
    return {
        f"{kind}_{name}_over_django": round(medians[name, kind] / medians[name, "Django"], 2)
        for name in writes
        for kind in ("unheard", "heard")
    }


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1])
    call_command("migrate", verbosity=0)
    bulk = bulk_ratios(rounds)
    times = measure(rounds)
    print("A send: microseconds, and as a multiple of Django's")
    print(f"  {'receivers':9}" + "".join(f"{name:>20}" for name in KINDS))
    for number in RECEIVERS:
        floor = times[number, "Django"]
        cells = [f"{times[number, name]:.2f} ({times[number, name] / floor:.2f})" for name in KINDS]
        print(f"  {number:<9}" + "".join(f"{cell:>20}" for cell in cells))
    added = {
        name: max(
            (times[number, name] - times[number, "Django"]) / number for number in RECEIVERS[1:]
        )
        for name in list(KINDS)[1:]
    }
    for name, microseconds in added.items():
        print(f"  {name} adds {microseconds:.2f} microseconds to a call of a receiver, at most")
    rendered = map_milliseconds(min(rounds, 5))
    print(f"The map of {IN_THE_MAP} receivers: {rendered:.1f} milliseconds of CPU")
    ratios = {
        f"kit_over_django_{number}": round(times[number, "kit"] / times[number, "Django"], 2)
        for number in RECEIVERS
    }
    figures = {
        **ratios,
        "kit_adds_microseconds": round(added["kit"], 2),
        "timing_on_adds_microseconds": round(added["kit, timing on"], 2),
        "timed_adds_microseconds": round(added["kit, timed"], 2),
        "map_of_200_milliseconds": round(rendered, 1),
    }
    print(f"A bulk write of {IN_BULK} rows, as a multiple of Django's")
    for name, ratio in bulk.items():
        print(f"  {name.removesuffix('_over_django'):24}{ratio:.2f}")
    print(json.dumps(figures | bulk))


if __name__ == "__main__":
    main()
