"""The benchmark runs and ends with the line that others read."""

import json
import os
import sys

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
