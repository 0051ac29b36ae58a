import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from itertools import starmap
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from apps.handoff.backend import outboxes
from apps.handoff.figures import figures_of
from apps.handoff.models import Handoff, HandoffQuerySet, Status
from apps.handoff.periodic import next_runs
from apps.handoff.presentation import age, jobs, next_run
from apps.handoff.state import State, is_stalled, state_of
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

        health = actions.add_parser(
            "health", help="Exit with 1 when jobs have waited for 5 minutes and none is running."
        )
        figures = actions.add_parser("figures", help="Print figures as Prometheus reads them.")

        retry = actions.add_parser("retry", help="Let jobs that have failed run again.")
        discard = actions.add_parser("discard", help="Delete jobs that have failed.")
        cancel = actions.add_parser("cancel", help="Delete jobs that have not begun.")
        for action in (retry, discard, cancel):
            action.add_argument("ids", nargs="*", type=UUID, metavar="id", help="Ids of jobs.")
            action.add_argument("--job", help="All of this name, such as apps.orders.tasks.send.")
            action.add_argument("--all", action="store_true", help="All of them.")

        for action in (status, health, figures, flush, retry, discard, cancel):
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
        elif action == "health":
            if stalled := [alias for alias in aliases if is_stalled(alias)]:
                raise CommandError(f"Jobs wait in {', '.join(stalled)}, and none is running.")
            self._say("Jobs are being run, or none waits.")
        elif action == "figures":
            self.stdout.write(figures_of(aliases))
        elif action == "flush":
            old = options["older_than"]
            number = sum(Handoff.objects.using(alias).flush(old) for alias in aliases)
            self._say(f"Deleted {jobs(number)} that had been done.")
        elif action == "retry":
            failed = [Handoff.objects.using(alias).failed() for alias in aliases]
            number = sum(rows.send_again() for rows in self._chosen(failed, **options))
            self._say(f"{jobs(number)} will run again.")
        else:
            rows = [Handoff.objects.using(alias) for alias in aliases]
            some = [r.failed() if action == "discard" else r.not_begun() for r in rows]
            number = sum(discard_jobs(chosen) for chosen in self._chosen(some, **options))
            self._say(f"Deleted {jobs(number)}, which will not run.")

    def _status(self, aliases: list[str], **options: Any) -> None:
        state, runs = state_of(aliases), next_runs(aliases)
        self.stdout.write(
            json.dumps(_as_json(state) | {"next_runs": runs}, cls=DjangoJSONEncoder)
            if options["json"]
            else "\n".join([*_table(state), *starmap(next_run, runs.items())])
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
        self,
        candidates: list[HandoffQuerySet],
        *,
        ids: list[UUID],
        job: str | None,
        all: bool,
        **options: Any,
    ) -> list[HandoffQuerySet]:
        """Return those of the candidates, one set for each database, that are meant."""
        if (bool(ids) + bool(job) + all) != 1:
            raise CommandError("Name the ids of jobs, or --job with a name, or --all.")
        if job:
            return [rows.filter(name=job) for rows in candidates]
        if ids:
            candidates = [rows.filter(pk__in=ids) for rows in candidates]
            found = {pk for rows in candidates for pk in rows.values_list("pk", flat=True)}
            if missing := set(ids) - found:
                named = ", ".join(sorted(map(str, missing)))
                raise CommandError(f"No such job has the id {named}.")
        return candidates

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
