"""Processes are killed and brokers fail, briefly: nothing is lost, and nobody is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.bakery import Bakery
from tests.support.programs import HANGS, clean_environment, run
from tests.support.services import require_services
from tests.support.template import ROOT

pytestmark = pytest.mark.whole

BRIEF = ("--jobs", "60", "--kills", "8", "--seconds", "15", "--patience", "3", "--outage", "0.5",
         "--processes", "2", "--grace", "3600", "--json")  # fmt: skip


def command(bakery: Bakery, *arguments: str) -> list[str]:
    """Return the command line of the benchmark, with everybody's environment."""
    python = bakery.environment().program("python")
    return [sys.executable, "benchmarks/faults.py", "--python", str(python), *arguments]


def figures(bakery: Bakery, *arguments: str) -> dict[str, Any]:
    """Run the benchmark briefly and return the figures of its last line."""
    done = run(command(bakery, *BRIEF, *arguments), folder=ROOT, environment=clean_environment())
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def expect_nothing_lost(found: dict[str, Any]) -> None:
    """Check the guarantees of the handoff, and that something was tried."""
    assert found["committed"] > 0
    assert found["kills"] > 0
    wrong = ("lost", "under_way", "phantom", "duplicate_effects", "stuck")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)


def test_nothing_is_lost_with_nothing_installed(bakery: Bakery) -> None:
    expect_nothing_lost(figures(bakery))


def test_each_tick_of_periodic_jobs_is_handed_off_once(bakery: Bakery) -> None:
    expect_nothing_lost(figures(bakery, "--ticks"))


def test_nothing_stays_stuck_when_idle_children_are_killed_with_nothing_installed(
    bakery: Bakery,
) -> None:
    expect_nothing_lost(figures(bakery, "--faults", "child", "--kills", "20", "--workers", "1"))


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_nothing_is_lost_with_servers(bakery: Bakery, broker: str) -> None:
    require_services()
    if broker == "redis" and not shutil.which("redis-server"):
        assert not os.environ.get("REQUIRE_SERVICES"), "redis-server is not installed."
        pytest.skip("redis-server is not installed.")
    found = figures(bakery, "--broker", broker, "--database", "postgresql")
    expect_nothing_lost(found)
    assert found["plain"]["committed"] > 0
    assert found["plain"].keys() == found.keys() - {"plain"}


def test_the_only_relay_goes_on_while_children_of_its_worker_are_killed(bakery: Bakery) -> None:
    """No other relay sends in its place, and nobody starts it again."""
    require_services()
    alone = ("--workers", "1", "--relays", "0", "--faults", "child")
    server = ("--broker", "rabbitmq", "--database", "postgresql", "--only", "handoff")
    expect_nothing_lost(figures(bakery, *server, *alone))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Only Linux tells where processes are.")
def test_an_interrupted_run_leaves_nobody_behind(bakery: Bakery, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    process = subprocess.Popen(
        command(bakery, "--keep", str(folder), "--jobs", "100000"),
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while not (folder / "runs/handoff/producer-1").exists():
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            time.sleep(0.1)
        assert len(inside(folder)) > 5
        # As Ctrl+C does, it reaches the script and what it has started in its own session.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=HANGS)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert inside(folder) == []


def inside(folder: Path) -> list[int]:
    """List the processes that work in a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.resolve().is_relative_to(folder):
                found.append(int(link.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found
