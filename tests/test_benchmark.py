"""The benchmarks run and end with the line that others read."""

import json
import os
import sys

from tests.support.bakery import Bakery
from tests.support.programs import run
from tests.support.template import ROOT


def test_the_last_line_holds_the_ratios() -> None:
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


def test_the_last_line_of_dispatch_holds_the_figures(bakery: Bakery) -> None:
    python = bakery.environment().program("python")
    done = run(
        [sys.executable, "benchmarks/dispatch.py", "--rounds", "1", "--json", "--python", python],
        folder=ROOT,
        environment=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert {"kit_adds_microseconds", "map_of_200_milliseconds", "kit_over_django_20"} <= set(
        figures
    )
    assert figures["map_of_200_milliseconds"] > 0
