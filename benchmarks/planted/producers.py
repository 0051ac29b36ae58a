"""Starts producers, which write orders until they are killed: ``producers.py ARM FOLDER PAUSE ROLLBACK``.

Each line on standard input is a number, and starts the producer of that number. Its process id is
printed. Producers are forks of this process, because a start of Django takes longer than the kills.
They end when standard input ends.
"""

import gc
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from .arms import ARMS, HandOff  # noqa: E402
from .models import Order  # noqa: E402
from .slots import Slot  # noqa: E402


class RollBackError(Exception):
    """Ends a transaction that is not to be committed."""


def produce(hand_off: HandOff, slot: Slot, pause: float, rollback: float) -> None:
    """Write orders until the parent is gone or SIGTERM says to end."""
    ending = False

    def end(*_: Any) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    parent = os.getppid()
    while not ending and os.getppid() == parent:
        slot.write("started", started := time.monotonic())
        try:
            if not write(hand_off, rollback):
                slot.add_one("rolled_back")
        except Exception as error:  # noqa: BLE001 - a request would have ended with status 500
            slot.add_one("refused")
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            # The next write gets a connection that works, as a new request does.
            with suppress(Exception):
                connection.close()
        taken = time.monotonic() - started
        slot.write("started", 0)
        slot.write("last", taken)
        slot.write("longest", max(taken, slot.read("longest")))
        time.sleep(random.uniform(0, 2 * pause))  # noqa: S311


def write(hand_off: HandOff, rollback: float) -> bool:
    """Commit an order and its job, or roll both back; say whether they are committed."""
    order = Order()
    try:
        with transaction.atomic():
            order.save(force_insert=True)
            hand_off(order.pk)
            if random.random() < rollback:  # noqa: S311
                raise RollBackError
    except RollBackError:
        return False
    return True


def main(arm: str, folder: str, pause: str, rollback: str) -> None:
    """Start a producer for each line."""
    hand_off = ARMS[arm]()
    # Children are forgotten as they die, and end on SIGTERM by themselves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.close(0)
            random.seed()
            produce(
                hand_off,
                Slot(Path(folder, f"producer-{int(line)}")),
                *map(float, (pause, rollback)),
            )
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
