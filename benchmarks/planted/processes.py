"""The processes of a run: started with their output in a file, and all ended with it."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .slots import Slot

# The application with which the worker of each way is started.
APPLICATIONS: Final = {"handoff": "apps.handoff", "plain": "apps.planted.plain"}


class Processes:
    """Starts programs of the project, and ends every one of them, with what it has started.

    Each program has its own session. So Ctrl+C reaches only this process, which then ends them.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, os.environ | environment
        self._groups: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill_all()

    def start(self, name: str, *arguments: str, talks: bool = False) -> "subprocess.Popen[str]":
        """Start a Python program; with ``talks`` its standard input and output are pipes."""
        with (self._folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self._environment,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._groups.add(process.pid)
        return process

    def kill_all(self) -> None:
        """Kill everything that was started and all that this has started in turn."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


class Kept:
    """A program that is started again whenever it has ended, as a supervisor does."""

    def __init__(self, processes: Processes, name: str, *arguments: str) -> None:
        self._processes, self._name, self._arguments = processes, name, arguments
        self.ended_by_itself = 0
        self._start()

    def _start(self) -> None:
        self._process = self._processes.start(self._name, *self._arguments)

    def keep(self) -> None:
        """Start it again if it has ended by itself."""
        if self._process.poll() is not None:
            self.ended_by_itself += 1
            self._start()

    def kill(self) -> None:
        """Kill it, not what it has started, and start it again."""
        self._process.kill()
        self._process.wait()
        self._start()

    def end(self, seconds: float) -> bool:
        """Tell it to end; say whether it has, within so many seconds."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def kill_child(self) -> bool:
        """Kill one of the processes that it has started; say whether it had one."""
        listed = subprocess.run(
            ["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False
        )
        pids = listed.stdout.split()
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(int(random.choice(pids)), signal.SIGKILL)  # noqa: S311
        return True


def worker(arm: str, number: int, queue: str, processes: int) -> tuple[str, ...]:
    """Return the command that starts a worker, without the interpreter."""
    return (
        "-m", "celery", "-A", APPLICATIONS[arm], "worker", "-Q", queue, "-c", str(processes),
        "-n", f"{number}@{queue}", "--without-mingle", "--without-gossip",
    )  # fmt: skip


RELAY: Final = ("-m", "apps.planted.relaying")


class Producers:
    """Producers by number, each in its own process."""

    def __init__(
        self, processes: Processes, folder: Path, arm: str, pause: float, rollback: float
    ) -> None:
        self._folder = folder
        self._nursery = processes.start(
            "producers", "-m", "apps.planted.producers", arm, str(folder), str(pause), str(rollback),
            talks=True,
        )  # fmt: skip
        self._pids: dict[int, int] = {}
        self._slots: dict[int, Slot] = {}
        self._longest = 0.0

    def start(self, number: int) -> None:
        """Start a producer."""
        source, sink = self._nursery.stdout, self._nursery.stdin
        assert source is not None and sink is not None  # noqa: S101, PT018
        sink.write(f"{number}\n")
        sink.flush()
        self._slots[number] = Slot(self._folder / f"producer-{number}")
        self._pids[number] = int(source.readline())

    def kill(self) -> None:
        """Kill a producer at a random point of a write, and start it again."""
        number = random.choice(list(self._pids))  # noqa: S311
        slot, end = self._slots[number], time.monotonic() + 1
        before = slot.read("started")
        while slot.read("started") in (0, before) and time.monotonic() < end:
            time.sleep(0.0002)
        time.sleep(random.uniform(0, slot.read("last")))  # noqa: S311
        self._kill(number)
        self.start(number)

    def _kill(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pids[number], signal.SIGKILL)
        # The wait at the time of the kill counts as well.
        slot = self._slots[number]
        if started := slot.read("started"):
            self._longest = max(self._longest, time.monotonic() - started)
            slot.write("started", 0)

    def end(self, seconds: float) -> None:
        """Let all producers finish the write at hand, for so long at most."""
        for pid in self._pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(s.read("started") for s in self._slots.values()):
            time.sleep(0.01)
        for number in self._pids:
            self._kill(number)
        self._nursery.kill()
        self._nursery.wait()

    def longest_wait(self) -> float:
        """Return the seconds that the longest write took."""
        return max([self._longest, *(slot.read("longest") for slot in self._slots.values())])

    def count(self, field: str) -> int:
        """Return how many writes all producers have counted in a field of their slots."""
        return int(sum(slot.read(field) for slot in self._slots.values()))
