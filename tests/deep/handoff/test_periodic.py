"""Each tick is handed off once, whatever is killed and however the clock jumps."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery.app.utils import find_app
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from apps.handoff.models import Handoff, PeriodicJob
from apps.handoff.periodic import hand_off_due
from apps.handoff.relay import Relay

from ..test_periodic import FLUSH, HOUR, let_pass, next_at, ticks
from .test_worker import DEADLINE, program

pytestmark = pytest.mark.django_db(transaction=True)

TICKERS, KILLS, TICKS_BETWEEN = 3, 30, 10
NOTE = "INSERT INTO noted (name) VALUES (NEW.name);"
NOTES = {
    "sqlite": [
        "CREATE TRIGGER note AFTER UPDATE ON handoff_periodicjob WHEN NEW.next_at > OLD.next_at"
        f" BEGIN {NOTE} END",
    ],
    "postgresql": [
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {NOTE} RETURN NULL; END $$",
        "CREATE TRIGGER note AFTER UPDATE ON handoff_periodicjob FOR EACH ROW"
        " WHEN (NEW.next_at > OLD.next_at) EXECUTE FUNCTION note()",
    ],
}
FORGET = {
    "sqlite": ["DROP TRIGGER note"],
    "postgresql": ["DROP FUNCTION note CASCADE"],
}


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def noted(transactional_db: None) -> Iterator[None]:
    """Let the database note each time that the next run of a job is moved on."""
    execute("CREATE TABLE noted (name text NOT NULL)", *NOTES[connection.vendor])
    yield
    execute(*FORGET[connection.vendor], "DROP TABLE noted")


def noted_ticks() -> Counter[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, count(*) FROM noted GROUP BY name")
        return Counter(dict(cursor.fetchall()))


def this_database() -> str:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


@pytest.mark.usefixtures("noted")
def test_each_tick_is_handed_off_once_through_kills_and_jumps_of_the_clock(tmp_path: Path) -> None:
    clock, new = tmp_path / "clock", tmp_path / "new"
    clock.write_text("0")
    command = ("-m", "apps.handoff.tests.deep.ticker", str(clock))
    chooser = random.Random(1)  # noqa: S311
    with ExitStack() as stack:

        def start() -> ExitStack:
            one = stack.enter_context(ExitStack())
            here = {"DATABASE_URL": this_database()}
            one.enter_context(program(*command, environment=here, output=tmp_path / "log"))
            return one

        tickers = [start() for _ in range(TICKERS)]
        for number in range(1, KILLS + 1):
            before, end = noted_ticks().total(), time.monotonic() + DEADLINE
            while noted_ticks().total() < before + TICKS_BETWEEN:
                assert time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.01)
            # All of them now and then, so that ticks are missed.
            for place in range(TICKERS) if number % 10 == 0 else [chooser.randrange(TICKERS)]:
                tickers[place].close()
                tickers[place] = start()
            if number % 3 == 0:
                new.write_text(str(chooser.choice([-1, 1]) * chooser.choice([0.05, 5, 86_400])))
                new.replace(clock)
    handed_off = Counter(Handoff.objects.values_list("name", flat=True))
    assert handed_off == noted_ticks()
    assert handed_off.total() >= KILLS * TICKS_BETWEEN


def test_a_tick_that_is_not_committed_is_due_as_before(settings: Settings) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    let_pass(HOUR)
    with transaction.atomic():
        hand_off_due("default")
        transaction.set_rollback(True)
    assert ticks() == 0
    hand_off_due("default")
    assert ticks() == 1


def test_a_relay_hands_ticks_off_and_sends_them(settings: Settings, relay: Relay) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    let_pass(HOUR)
    assert relay.send_due()
    assert ticks() == 1
    let_pass(HOUR)
    assert not relay.send_due(), "it has looked a moment ago"


def test_only_one_outbox_has_ticks(settings: Settings, other_database: str) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    for alias in ("default", other_database):
        hand_off_due(alias)
    assert PeriodicJob.objects.count() == 1
    assert not PeriodicJob.objects.using(other_database).exists()


def test_a_shorter_interval_counts_at_once(settings: Settings) -> None:
    settings.PERIODIC = [(FLUSH, 24 * 3600)]
    hand_off_due("default")
    later = next_at()
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    assert later - 24 * HOUR <= next_at() - HOUR < later - 23 * HOUR
    assert ticks() == 0


def test_a_job_that_is_not_listed_any_more_is_neither_run_nor_shown(
    settings: Settings, admin_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    let_pass(HOUR)
    settings.PERIODIC = []
    hand_off_due("default")
    assert ticks() == 0
    call_command("handoff", "status")
    assert "handoff.flush" not in capsys.readouterr().out
    assert FLUSH not in admin_client.get("/admin/handoff/periodicjob/").text


def test_the_next_run_is_moved_in_the_admin(settings: Settings, admin_client: Client) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    page = f"/admin/handoff/periodicjob/{FLUSH.replace('_', '_5F')}/change/"
    moved = {"next_at_0": "2026-01-02", "next_at_1": "03:00:00"}
    assert admin_client.post(page, moved).status_code == 302
    assert f"{next_at():%Y-%m-%d %H:%M}" == "2026-01-02 03:00"
    hand_off_due("default")
    assert ticks() == 1
    assert f"{next_at():%M:%S}" == "00:00", "later runs follow from the one that was moved"


def test_a_worker_does_not_start_with_a_mistake_in_the_list(
    settings: Settings, use_broker: object
) -> None:
    settings.PERIODIC = [(FLUSH, 0)]
    use_broker("memory://")  # type: ignore[operator]
    with pytest.raises(SystemCheckError, match="PERIODIC has"):
        find_app("apps.handoff").loader.import_default_modules()


def test_a_clock_that_is_set_back_delays_by_one_interval_at_most(settings: Settings) -> None:
    settings.PERIODIC = [(FLUSH, 3600)]
    hand_off_due("default")
    let_pass(-10 * HOUR)
    before = next_at()
    hand_off_due("default")
    assert ticks() == 0
    assert before - 10 * HOUR <= next_at() < before - 9 * HOUR
