"""The benchmarks run and end with the line that others read."""

import json
import os
import sys
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.load import Answers, judge
from benchmarks.proxy import MISSING, find_nginx
from benchmarks.trouble import Watched
from tests.support.bakery import Bakery
from tests.support.programs import UV, clean_environment, run
from tests.support.services import require_services
from tests.support.template import ROOT


@pytest.mark.whole
def test_the_last_line_holds_the_ratios_of_a_bake() -> None:
    done = run(
        [sys.executable, "benchmarks/bake.py", "--rounds", "1", "--json"],
        folder=ROOT,
        environment=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    ratios = json.loads(done.stdout.splitlines()[-1])
    assert list(ratios) == ["all_on_over_floor", "all_off_over_floor", "hooks_share"]
    # One round on a busy machine only shows that something was measured.
    assert all(ratios[name] > 0 for name in ("all_on_over_floor", "all_off_over_floor"))
    assert ratios["hooks_share"] < 1


@pytest.mark.whole
def test_the_last_line_holds_the_figures_of_a_handoff(bakery: Bakery) -> None:
    python = bakery.environment().program("python")
    brief = {"rounds": 1, "writes": 5, "jobs": 20, "starts": 3, "seconds": 0.5, "relays": 2}
    brief |= {"backlog": 50, "many": 20}
    words = [str(word) for name, value in brief.items() for word in (f"--{name}", value)]
    require_services()
    places = ["--databases", "sqlite", "--brokers", "memory", "redis"]
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
    for name in ("jobs_per_second", "messages_per_second", "with_a_backlog", "bulk_seconds"):
        assert figures[name] > 0
    assert figures["memory_mb"].keys() == {"before", "after"}
    # Not a figure: however many relays there are, each job is one message.
    assert figures["several_relays"] == {"jobs": 20, "messages": 20}


def loaded(*options: str) -> dict[str, Any]:
    """Run the load with options, however long its jobs take; return the figures that it prints."""
    done = run(
        [sys.executable, "benchmarks/load.py", *options, "--drain", "3600", "--json"],
        folder=ROOT,
        environment={**os.environ, "UV": str(UV)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.whole
def test_a_short_load_loses_nothing() -> None:
    require_services()
    result = loaded("--seconds", "4", "--clients", "2")
    assert result["right"]
    assert result["sign_ups"] > 0


@pytest.mark.whole
def test_a_short_load_amid_trouble_loses_nothing() -> None:
    """Liveness is answered while clients are slow and the pool is dead; how soon is not timed."""
    if find_nginx() is None:
        pytest.skip(MISSING)
    require_services()
    brief = ("--seconds", "9", "--trouble", "3", "--clients", "2", "--liveness", "60")
    result = loaded(*brief, "--quick-passwords")
    assert result["right"]
    assert result["sign_ups"] > 0
    assert result["dead_seconds"] >= 3
    assert len(result["bytes_of_slow_clients"]) == 4
    assert result["liveness_asked"] > 0


def test_trouble_that_is_worse_than_it_may_be_is_noticed() -> None:
    whole = {kind: ["a", "b"] for kind in ("users", "profiles", "entries", "mails")}
    # The second got an error while the pool was dead, but its row exists.
    answers = Answers(signed_up=["a"], unknown=["b"], errors=[(11, 19)])
    answers.statuses[500] += 1

    def right(answers: Answers = answers, **changes: Any) -> object:
        watched = Watched(dead=[(10, 20)], seconds=[0.1], bytes_of=dict.fromkeys(range(4), 9))
        return judge(answers, whole, 1, [], replace(watched, **changes))["right"]

    assert right()
    assert not right(seconds=[0.1, 1.1])
    assert not right(unanswered=1)
    assert not right(bytes_of={0: 9})
    assert not right(dead=[])
    assert not right(dead=[(20, 30)])
    assert not right(replace(answers, unknown=[]))


def test_a_load_that_loses_or_doubles_something_is_noticed() -> None:
    answers = Answers(signed_up=["a", "b"], milliseconds=[1.0, 2.0])
    whole = {kind: ["a", "b"] for kind in ("users", "profiles", "entries", "mails")}
    assert judge(answers, whole, 1, [])["right"]
    for found in (["a"], ["a", "b", "b"], ["a", "b", "c"]):
        assert not judge(answers, whole | {"mails": found}, 1, [])["right"]
    assert not judge(answers, whole, 1, ["an error"])["right"]
    assert not judge(Answers(), {kind: [] for kind in whole}, 1, [])["right"]
    answers.statuses[500] += 1
    assert not judge(answers, whole, 1, [])["right"]


@pytest.mark.whole
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


@pytest.mark.whole
@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_the_trail_costs_as_many_statements_as_its_page_says(database: str) -> None:
    options = ["--rounds", "1", "--only", "--json"]
    if database == "PostgreSQL":
        require_services()
        options.append("--postgres")
    done = run(
        [sys.executable, "benchmarks/audit.py", *options],
        folder=ROOT,
        environment=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    compared = json.loads(done.stdout.splitlines()[-1])["compared"]
    assert {row["ours"]["statements"] for row in compared.values()} == {0}
    assert all(row["ours"]["over_unaudited"] > 0 for row in compared.values())
