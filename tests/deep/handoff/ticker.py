"""Hands off periodic jobs as a relay does, without a pause, until it is killed: ``ticker.py CLOCK``.

The clock of the database is ahead by the seconds in the file CLOCK, which may change at any time.
"""

import sys
from datetime import timedelta
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db.models.functions import Now  # noqa: E402

from apps.handoff import periodic  # noqa: E402

JOBS = [f"apps.handoff.tests.example.tasks.{name}" for name in ("add", "fail", "record")]


def main(clock: str) -> None:
    """Hand off what is due, again and again."""

    def now() -> object:
        return Now() + timedelta(seconds=float(Path(clock).read_text(encoding="utf-8")))

    periodic.Now = now  # type: ignore[assignment,attr-defined]
    settings.PERIODIC = [(job, 0.1) for job in JOBS]
    while True:
        periodic.hand_off_due("default")


if __name__ == "__main__":
    main(*sys.argv[1:])
