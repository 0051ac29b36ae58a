"""A long audit trail: its admin on both databases, and the benchmark of its growth."""

import json
import sys

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.deep import folder_of, plant
from tests.support.programs import clean_environment, run
from tests.support.project import BakedProject
from tests.support.services import require_services
from tests.support.template import ROOT

TEST = f"{folder_of('audit')}/test_many.py"
# The most queries that a page may take.
FEW = 9


@pytest.mark.whole
def test_a_million_entries(all_on: BakedProject, database_url: str) -> None:
    """Each page takes few queries, and none counts the trail or reads it without a limit."""
    options = [TEST, "-k", "few_queries"]
    rows = {"AUDIT_ROWS": "1000000", "DATABASE_URL": database_url}
    expect_none(commands.own_tests(plant(all_on), options=options, variables=rows))


@pytest.mark.whole
def test_the_last_line_holds_the_figures_of_growth(bakery: Bakery) -> None:
    """The times say nothing on a busy machine; what is counted does."""
    require_services()
    python = bakery.environment().program("python")
    options = ["--entries", "100000", "--rounds", "1", "--python", str(python), "--json"]
    done = run(
        [sys.executable, "benchmarks/growth.py", *options],
        folder=ROOT,
        environment=clean_environment(),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["entries"] == 100_000
    assert figures["writes"].keys() == {"create", "update", "link", "delete"}
    assert all(write["over_short"] > 0 for write in figures["writes"].values())
    assert {
        name: page["queries"] for name, page in figures["pages"].items() if page["queries"] > FEW
    } == {}
    assert all(page["over_short"] > 0 < page["queries"] for page in figures["pages"].values())
    for name in ("seal", "verify"):
        assert figures["seals"][name]["entries_a_second"] > 0
        # Flat: ten times as many entries take no more than a few megabytes.
        assert (
            figures["seals"][name]["mb_after_all"] < figures["seals"][name]["mb_after_a_tenth"] + 8
        )
    sizes = figures["bytes_an_entry"]
    assert {"table", "audit_entry_pkey", "audit_object", "audit_actor", "seals"} <= sizes.keys()
    assert figures["pruning"]["entries"] == 10_000
