"""The benchmarks run and end with the line that others read."""

import json
import os
import sys

from tests.support.bakery import Bakery
from tests.support.programs import clean_environment, run
from tests.support.template import ROOT


def test_the_last_line_holds_the_ratios_of_a_bake() -> None:
    done = run(
        [sys.executable, "benchmarks/bake.py", "--rounds", "1", "--json"],
        folder=ROOT,
        environment=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    ratios = json.loads(done.stdout.splitlines()[-1])
    assert list(ratios) == ["all_on_over_floor", "all_off_over_floor", "hooks_share"]
    # One round on a busy machine says no more than that something was measured.
    assert all(ratios[name] > 0 for name in ("all_on_over_floor", "all_off_over_floor"))
    assert ratios["hooks_share"] < 1


def test_the_last_line_holds_the_figures_of_a_handoff(bakery: Bakery) -> None:
    python = bakery.environment().program("python")
    brief = {"rounds": 1, "writes": 5, "jobs": 20, "starts": 3, "seconds": 0.5, "relays": 2}
    words = [str(word) for name, value in brief.items() for word in (f"--{name}", value)]
    places = ["--databases", "sqlite", "--brokers", "filesystem"]
    done = run(
        [sys.executable, "benchmarks/handoff.py", "--python", python, *places, *words, "--json"],
        folder=ROOT,
        environment=clean_environment(),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["sqlite"].keys() == {"ours", "delay_on_commit"}
    assert all(value > 0 for value in figures["sqlite"].values())
    assert figures["latency_ms"].keys() == {"p50", "p95", "p99"}
    assert figures["jobs_per_second"] > 0
    # Not a figure: however many relays there are, each job is one message.
    assert figures["several_relays"] == {"jobs": 20, "messages": 20}
