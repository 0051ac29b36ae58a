import re
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count
from django.utils.timezone import localtime

from apps.handoff.backend import outboxes
from apps.handoff.figures import figures_of
from apps.handoff.models import Handoff, Status
from apps.handoff.periodic import next_runs
from apps.handoff.state import is_stalled, longest_wait

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLUMNS: Final = [status.value for status in Status]
NAME_WIDTH: Final = 80 - 8 * len(COLUMNS)

# The actions that change chosen jobs, and their help.
CHANGES: Final = {
    "retry": "Let jobs that have failed run again.",
    "discard": "Delete jobs that have failed.",
    "cancel": "Delete jobs that have not begun.",
}


def duration(text: str) -> timedelta:
    """Read a duration such as ``90s``, ``5m``, ``2h`` or ``7d``."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise ArgumentTypeError(
            f"{text!r} is no duration: write a number and s, m, h or d, for example 5m."
        )
    return timedelta(**{UNITS[found[2]]: int(found[1])})


class Command(BaseCommand):
    help = "Show the jobs that were handed off, and tidy up after them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions, each with its options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="action")
        status = actions.add_parser(
            "status", help="Count jobs; exit with 1 when a limit is passed."
        )
        status.add_argument(
            "--fail-if-older-than",
            type=duration,
            metavar="5m",
            help="Exit with 1 when a job has waited longer for a worker (s, m, h or d).",
        )
        status.add_argument(
            "--fail-if-failed", action="store_true", help="Exit with 1 when a job has failed."
        )
        actions.add_parser(
            "health", help="Exit with 1 when jobs have waited for 5 minutes and none is running."
        )
        actions.add_parser("figures", help="Print figures for Prometheus.")
        flush = actions.add_parser("flush", help="Delete the rows of jobs that were done long ago.")
        flush.add_argument(
            "--older-than",
            type=duration,
            default="7d",
            metavar="7d",
            help="How long ago at least (s, m, h or d; default: 7d).",
        )
        for name, text in CHANGES.items():
            change = actions.add_parser(name, help=text)
            change.add_argument("ids", nargs="*", type=UUID, metavar="id", help="Ids of jobs.")
            change.add_argument("--job", help="All of this name, such as apps.orders.tasks.send.")
            change.add_argument("--all", action="store_true", help="All of them.")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Run the action in all databases that have an outbox."""
        if action == "status":
            self._status(options["fail_if_older_than"], options["fail_if_failed"])
        elif action == "health":
            if stalled := [alias for alias in outboxes() if is_stalled(alias)]:
                raise CommandError(f"Jobs wait in {', '.join(stalled)}, and none is running.")
            self._say("Jobs are being run, or none waits.")
        elif action == "figures":
            self.stdout.write(figures_of(outboxes()))
        elif action == "flush":
            age = options["older_than"]
            number = sum(Handoff.objects.using(alias).flush(age) for alias in outboxes())
            self._say(f"Done jobs that were deleted: {number}.")
        else:
            self._change(action, options["ids"], options["job"], options["all"])

    def _status(self, longest: timedelta | None, fail_if_failed: bool) -> None:
        jobs: dict[str, Counter[str]] = {}
        for alias in outboxes():
            rows = Handoff.objects.using(alias).order_by().values_list("name", "status")
            for name, status, number in rows.annotate(Count("pk")):
                jobs.setdefault(name, Counter())[status] += number
        waits = [wait for alias in outboxes() if (wait := longest_wait(alias)) is not None]
        wait, failed = max(waits, default=None), sum(counts["failed"] for counts in jobs.values())
        self.stdout.write(table(jobs))
        if wait is None:
            self.stdout.write("No job that is due waits for a worker.")
        else:
            self.stdout.write(f"The oldest job has waited for {wait}.")
        for name, at in next_runs().items():
            when = f"{localtime(at):%Y-%m-%d %H:%M:%S %Z}" if at else "known when a relay runs"
            self.stdout.write(f"Next run of {name}: {when}.")
        faults = []
        if longest is not None and wait is not None and wait > longest:
            faults.append(f"A job has waited for {wait}.")
        if fail_if_failed and failed:
            faults.append(f"Jobs that failed: {failed}.")
        if faults:
            raise CommandError(" ".join(faults))

    def _change(self, action: str, ids: list[UUID], job: str | None, all: bool) -> None:
        if bool(ids) + bool(job) + all != 1:
            raise CommandError("Name the ids of jobs, or --job with a name, or --all.")
        outbox = [Handoff.objects.using(alias) for alias in outboxes()]
        chosen = [rows.not_begun() if action == "cancel" else rows.failed() for rows in outbox]
        if job:
            chosen = [rows.filter(name=job) for rows in chosen]
        if ids:
            chosen = [rows.filter(pk__in=ids) for rows in chosen]
            found = {pk for rows in chosen for pk in rows.values_list("pk", flat=True)}
            if missing := set(ids) - found:
                named = ", ".join(sorted(map(str, missing)))
                raise CommandError(f"No such job has the id {named}.")
        if action == "retry":
            self._say(f"Jobs that will run again: {sum(rows.send_again() for rows in chosen)}.")
        else:
            number = sum(rows.delete()[0] for rows in chosen)
            self._say(f"Deleted jobs, which will not run: {number}.")

    def _say(self, text: str) -> None:
        self.stdout.write(self.style.SUCCESS(text))


def table(jobs: dict[str, Counter[str]]) -> str:
    """Return a table of jobs by name and status, 80 columns wide, and a line of totals."""
    lines = [f"{'job':{NAME_WIDTH}}" + "".join(f"{status:>8}" for status in COLUMNS)]
    for name, counts in [*sorted(jobs.items()), ("all", sum(jobs.values(), Counter()))]:
        # The end of a long name tells more than its beginning.
        short = name if len(name) < NAME_WIDTH else f"…{name[2 - NAME_WIDTH :]}"
        lines.append(f"{short:{NAME_WIDTH}}" + "".join(f"{counts[status]:8}" for status in COLUMNS))
    return "\n".join(lines)
