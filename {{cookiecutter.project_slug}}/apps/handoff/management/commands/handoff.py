import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.handoff.backend import outboxes
from apps.handoff.models import Handoff, HandoffQuerySet, Status
from apps.handoff.presentation import age, jobs
from apps.handoff.state import State, state_of
from apps.handoff.state import discard as discard_jobs

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLUMNS: Final = [status.value for status in Status]
NAME_WIDTH: Final = 80 - 8 * len(COLUMNS)


def duration(text: str) -> timedelta:
    """Read a duration such as ``90s``, ``5m``, ``2h`` or ``7d``."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise ArgumentTypeError(
            f"{text!r} is no duration: write a number and s, m, h or d, for example 5m."
        )
    return timedelta(**{UNITS[found[2]]: int(found[1])})


class Command(BaseCommand):
    help = "Look at the jobs that were handed off, and tidy up after them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions, each with its options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="action")

        status = actions.add_parser(
            "status", help="Count jobs; exit with 1 when a limit is passed."
        )
        status.add_argument("--json", action="store_true", help="Print JSON, for programs.")
        status.add_argument(
            "--fail-if-older-than",
            type=duration,
            metavar="5m",
            help="Exit with 1 when a job has waited longer for a worker (s, m, h or d).",
        )
        status.add_argument(
            "--fail-if-failed", action="store_true", help="Exit with 1 when a job has failed."
        )

        flush = actions.add_parser("flush", help="Delete the rows of jobs that were done long ago.")
        flush.add_argument(
            "--older-than",
            type=duration,
            default="7d",
            metavar="7d",
            help="How long ago at least (s, m, h or d; default: 7d).",
        )

        retry = actions.add_parser("retry", help="Let jobs that have failed run again.")
        discard = actions.add_parser("discard", help="Delete jobs that have failed.")
        for action in (retry, discard):
            action.add_argument("ids", nargs="*", type=UUID, metavar="id", help="Ids of jobs.")
            action.add_argument("--job", help="All of this name, such as apps.orders.tasks.send.")
            action.add_argument("--all", action="store_true", help="All that have failed.")

        for action in (status, flush, retry, discard):
            action.add_argument(
                "--database", help="Alias of one database (default: all that have an outbox)."
            )

    def handle(self, *args: Any, action: str, database: str | None, **options: Any) -> None:
        """Do what the action says."""
        aliases = outboxes()
        if database is not None:
            if database not in aliases:
                known = ", ".join(aliases)
                raise CommandError(f"There is no database {database!r} with an outbox: {known}.")
            aliases = [database]
        if action == "status":
            self._status(aliases, **options)
        elif action == "flush":
            old = options["older_than"]
            number = sum(Handoff.objects.using(alias).flush(old) for alias in aliases)
            self._say(f"Deleted {jobs(number)} that had been done.")
        elif action == "retry":
            number = sum(rows.send_again() for rows in self._chosen(aliases, **options))
            self._say(f"{jobs(number)} will run again.")
        else:
            number = sum(discard_jobs(rows) for rows in self._chosen(aliases, **options))
            self._say(f"Deleted {jobs(number)}, which will not run.")

    def _status(self, aliases: list[str], **options: Any) -> None:
        state = state_of(aliases)
        self.stdout.write(
            json.dumps(_as_json(state)) if options["json"] else "\n".join(_table(state))
        )
        faults = []
        limit = options["fail_if_older_than"]
        if limit is not None and state.oldest is not None and state.oldest > limit:
            faults.append(f"A job has waited for {age(state.oldest)}.")
        if options["fail_if_failed"] and (number := state.count(Status.FAILED)):
            faults.append(f"{jobs(number)} failed.")
        if faults:
            raise CommandError(" ".join(faults))

    def _chosen(
        self, aliases: list[str], *, ids: list[UUID], job: str | None, all: bool, **options: Any
    ) -> list[HandoffQuerySet]:
        """Return the jobs that have failed and are meant, of each database."""
        if (bool(ids) + bool(job) + all) != 1:
            raise CommandError("Name the ids of jobs, or --job with a name, or --all.")
        failed = [Handoff.objects.using(alias).failed() for alias in aliases]
        if job:
            return [rows.filter(name=job) for rows in failed]
        if ids:
            failed = [rows.filter(pk__in=ids) for rows in failed]
            found = {pk for rows in failed for pk in rows.values_list("pk", flat=True)}
            if missing := set(ids) - found:
                named = ", ".join(sorted(map(str, missing)))
                raise CommandError(f"No job that has failed has the id {named}.")
        return failed

    def _say(self, text: str) -> None:
        self.stdout.write(self.style.SUCCESS(text))


def _as_json(state: State) -> dict[str, Any]:
    return {
        **{status: state.count(status) for status in COLUMNS},
        "oldest_seconds": state.oldest and round(state.oldest.total_seconds(), 3),
        "jobs": {
            name: {s: counts.get(s, 0) for s in COLUMNS} for name, counts in state.jobs.items()
        },
    }


def _table(state: State) -> list[str]:
    lines = [f"{'job':{NAME_WIDTH}}" + "".join(f"{status:>8}" for status in COLUMNS)]
    for name, counts in state.jobs.items():
        # The end of a long name tells more than its beginning.
        short = name if len(name) < NAME_WIDTH else f"…{name[2 - NAME_WIDTH :]}"
        lines.append(f"{short:{NAME_WIDTH}}" + "".join(f"{counts.get(s, 0):8}" for s in COLUMNS))
    total = "".join(f"{state.count(status):8}" for status in COLUMNS)
    lines += [f"{'all':{NAME_WIDTH}}{total}", ""]
    if state.oldest is None:
        # One that is to run later, or pauses before it is tried again, is counted as waiting too.
        later = state.count(Status.WAITING)
        verb = "is" if later == 1 else "are"
        rest = f": {jobs(later)} {verb} not due yet." if later else "."
        return [*lines, f"No job waits for a worker{rest}"]
    return [*lines, f"The oldest job has waited for {age(state.oldest)}."]
