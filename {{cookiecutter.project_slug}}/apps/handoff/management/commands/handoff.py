import re
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Q
from django.utils.timezone import localtime

from apps.core.periodic import periodic_jobs
from apps.handoff.backend import outboxes
from apps.handoff.figures import figures_text
from apps.handoff.models import KEPT, Handoff, HandoffQuerySet, PeriodicJob, Status

type Outbox = list[HandoffQuerySet]

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

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
        actions = parser.add_subparsers(dest="action", required=True, metavar="action")
        status = actions.add_parser("status", help="Count jobs; exit with 1 if a limit is passed.")
        late = "Exit with 1 if a job has waited longer for a worker (s, m, h or d)."
        status.add_argument("--fail-if-older-than", type=duration, metavar="5m", help=late)
        failed = "Exit with 1 if a job has failed."
        status.add_argument("--fail-if-failed", action="store_true", help=failed)
        actions.add_parser("health", help="Exit with 1 if jobs wait 5 minutes while none runs.")
        actions.add_parser("figures", help="Print figures for Prometheus.")
        flush = actions.add_parser("flush", help="Delete the rows of jobs that were done long ago.")
        age = "How long ago at least (s, m, h or d; default: 7d)."
        flush.add_argument("--older-than", type=duration, default=KEPT, metavar="7d", help=age)
        for name, text in CHANGES.items():
            change = actions.add_parser(name, help=text)
            change.add_argument("ids", nargs="*", type=UUID, metavar="id", help="Ids of jobs.")
            change.add_argument("--job", help="All of this name, such as apps.orders.tasks.send.")
            change.add_argument("--all", action="store_true", help="All of them.")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Run the action in all databases that have an outbox."""
        outbox = [Handoff.objects.using(alias) for alias in outboxes()]
        if action == "status":
            self._status(outbox, options["fail_if_older_than"], options["fail_if_failed"])
        elif action == "health":
            if stalled := [rows.db for rows in outbox if rows.is_stalled()]:
                raise CommandError(f"Jobs wait in {', '.join(stalled)}, and none is running.")
            self.stdout.write("Jobs are being run, or none waits.")
        elif action == "figures":
            self.stdout.write(figures_text())
        elif action == "flush":
            number = sum(rows.flush(options["older_than"]) for rows in outbox)
            self.stdout.write(f"Done jobs that were deleted: {number}.")
        else:
            self._change(outbox, action, options["ids"], options["job"], options["all"])

    def _status(self, outbox: Outbox, longest: timedelta | None, fail_if_failed: bool) -> None:
        jobs: dict[str, Counter[str]] = {}
        for rows in outbox:
            groups = rows.order_by().values_list("name", "status")
            for name, status, number in groups.annotate(Count("pk")):
                jobs.setdefault(name, Counter())[status] += number
        jobs = dict(sorted(jobs.items())) | {"all": sum(jobs.values(), Counter())}
        self.stdout.write("".join(f"{status:>9}" for status in Status.values) + "  job")
        for name, counted in jobs.items():
            self.stdout.write("".join(f"{counted[each]:9}" for each in Status.values) + f"  {name}")
        wait = max(rows.longest_wait() for rows in outbox)
        self.stdout.write(f"Longest wait for a worker: {wait}.")
        known = PeriodicJob.objects.using(outbox[0].db).in_bulk(list(periodic_jobs()))
        for name in periodic_jobs():
            at = localtime(known[name].next_at) if name in known else None
            when = f"{at:%Y-%m-%d %H:%M:%S %Z}" if at else "known when a relay runs"
            self.stdout.write(f"Next run of {name}: {when}.")
        if longest is not None and wait > longest:
            raise CommandError(f"A job has waited for {wait}.")
        if fail_if_failed and (failed := jobs["all"][Status.FAILED]):
            raise CommandError(f"Jobs that failed: {failed}.")

    def _change(
        self, outbox: Outbox, action: str, ids: list[UUID], job: str | None, all: bool
    ) -> None:
        if bool(ids) + bool(job) + all != 1:
            raise CommandError("Name the ids of jobs, or --job with a name, or --all.")
        where = Q(name=job) if job else Q(pk__in=ids) if ids else Q()
        if action == "cancel":
            where &= Q(due_at__isnull=False, status__in=(Status.WAITING, Status.SENT))
        else:
            where &= Q(failed_at__isnull=False)
        chosen = [rows.filter(where) for rows in outbox]
        if ids:
            found = {pk for rows in chosen for pk in rows.values_list("pk", flat=True)}
            if missing := set(ids) - found:
                named = ", ".join(sorted(map(str, missing)))
                raise CommandError(f"No such job has the id {named}.")
        if action == "retry":
            number = sum(rows.send_again() for rows in chosen)
            self.stdout.write(f"Jobs that will run again: {number}.")
        else:
            number = sum(rows.delete()[0] for rows in chosen)
            self.stdout.write(f"Deleted jobs, which will not run: {number}.")
