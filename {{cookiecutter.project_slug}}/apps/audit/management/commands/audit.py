"""The trail on the command line: seal, verify, prune, forget, export, history and backfill."""

import re
from argparse import ArgumentTypeError
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Final

from django.core import serializers
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.utils import timezone

from apps.audit import fingerprints, registry, seals, triggers
from apps.audit.backfill import backfill
from apps.audit.forgetting import CannotForgetError, Person, forget
from apps.audit.models import Entry, Seal
from apps.audit.presentation import Page, actor_name, harmless, local, model_of, origin

# Entries that are exported at a time: one can have megabytes.
BATCH: Final = 100
FILTERS: Final = {
    # The label as it was recorded, because the project may no longer have the model.
    "model": "model_label__iexact",
    "actor": "actor_name",
    "since": "created_at__gte",
    "before": "created_at__lt",
}


def number(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,4}", text):
        raise ArgumentTypeError(f"{text!r} is no number from 1 to 99,999; for example 365.")
    return int(text)


def days(text: str) -> timedelta:
    return timedelta(days=number(text.removesuffix("d")))


def moment(text: str) -> datetime:
    """Read a date or a time, in the time zone of the project unless it names one."""
    try:
        found = datetime.fromisoformat(text)
        # Some times of the first and the last day cannot be converted to UTC.
        return (timezone.make_aware(found) if timezone.is_naive(found) else found).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(
            f"{text!r} is no date or time; for example 2026-01-31 or 2026-01-31T12:00."
        ) from error


def noted_seal(text: str) -> tuple[int, str]:
    """Read the number of a seal and its digest, of which 16 digits are enough."""
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{16,64})", text)
    if not found:
        raise ArgumentTypeError(
            f"{text!r} is no seal as `audit seal` prints it; for example 42:9f86d081884c7d65."
        )
    return int(found[1]), found[2]


def counted(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"


class Command(BaseCommand):
    help = "Seals, verifies, prunes, exports, shows, backfills and stops the trail; forgets people."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
        shared = CommandParser(add_help=False)
        shared.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

        def add(verb: str, does: str) -> CommandParser:
            return verbs.add_parser(verb, help=does, description=does, parents=[shared])

        add("seal", "Add what is new on the trail to its chain of seals, as a periodic job does.")
        verify = add("verify", "Compare the trail with its seals; exit with 1 when it differs.")
        verify.add_argument("--noted", type=noted_seal, metavar="SEAL", help="A seal to compare.")
        prune = add("prune", "Remove old entries for good.")
        prune.add_argument("--older-than", type=days, required=True, help="Such as 365d.")
        prune.add_argument("--dry-run", action="store_true", help="Say what would be removed.")
        prune.add_argument("--no-input", action="store_true", help="Ask nothing.")
        does = "Replace the personal values and the name of a person by a mark."
        forget = verbs.add_parser("forget", help=does, description=does)
        forget.add_argument("--database", choices=tuple(connections), help="Default: all of them.")
        forget.add_argument("--reason", required=True, help="Why; it stays on the trail.")
        history = add("history", "Show what happened to one object, the latest first.")
        for one in (forget, history):
            one.add_argument("model", metavar="app.Model")
            one.add_argument("key", help="The primary key of the object.")
        history.add_argument("--limit", type=number, default=20, help="Default: 20.")
        missing = add("backfill", "Record objects that are older than the trail as they are now.")
        which = missing.add_mutually_exclusive_group(required=True)
        which.add_argument("model", metavar="app.Model", nargs="?", help="Objects of this model.")
        which.add_argument("--all", action="store_true", help="Objects of all audited models.")
        add("stop", "Take the triggers off all tables; `migrate` puts them back.")
        export = add("export", "Write entries as lines of JSON, the oldest first.")
        export.add_argument("--model", metavar="app.Model", help="Only entries of this model.")
        export.add_argument("--actor", metavar="NAME", help="Only what the user of this name did.")
        export.add_argument("--subject", nargs=2, metavar=("app.Model", "KEY"), help="A person.")
        export.add_argument("--since", type=moment, metavar="TIME", help="Such as 2026-01-31.")
        export.add_argument("--before", type=moment, metavar="TIME", help="Such as 2026-02-01.")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"handle_{verb}")(**options)
        except (Error, seals.BusyError, CannotForgetError) as error:
            raise CommandError(" ".join(str(error).split())) from error

    def handle_seal(self, *, database: str, **options: Any) -> None:
        sealed = sum(link.count for link in seals.seal(database))
        self.stdout.write(f"Sealed {counted(sealed)}.")
        if last := Seal.objects.using(database).last():
            self.stdout.write(f"Last seal: {harmless(str(last))}")

    def handle_verify(self, *, database: str, noted: Any, **options: Any) -> None:
        links, entries = Seal.objects.using(database), Entry.objects.using(database)
        last, covered, found = links.last(), seals.covered(database), 0
        for finding in seals.verify(database, noted=noted):
            found += 1
            self.stdout.write(harmless(finding.text))
        for link in links.filter(kind=Seal.Kind.PRUNING):
            self.stdout.write(
                f"Entries up to {link.until}, {link.count:,} of them, were pruned on"
                f" {local(link.created_at):%Y-%m-%d} (seal {link.number})."
            )
        for key, said in fingerprints.statements(database):
            entry, many = entries.defer("changes").get(pk=key), len(said.object | said.actor)
            text = (
                f"Values of {counted(many)} about {entry.model_label} {entry.object_id} were"
                f" forgotten on {local(entry.created_at):%Y-%m-%d} by {actor_name(entry)}:"
                f" {said.reason} (entry {key})."
            )
            self.stdout.write(harmless(text))
        unsealed = entries.filter(pk__gt=covered).order_by("pk")
        if since := unsealed.values_list("created_at", flat=True).first():
            self.stdout.write(f"Entries since {local(since):%Y-%m-%d %H:%M:%S} are not sealed yet.")
        if found:
            raise CommandError(f"The trail is not as it was sealed. Findings: {found:,}.")
        whole = last and f"The trail is as it was sealed, up to seal {last.number}."
        self.stdout.write(whole or "There are no seals; `audit seal` adds the first.")

    def handle_prune(
        self, *, database: str, older_than: timedelta, dry_run: bool, no_input: bool, **options: Any
    ) -> None:
        cutoff = timezone.now() - older_than
        old = seals.older_than(cutoff, using=database)
        if not (count := old.count()):
            self.stdout.write("No entry is that old.")
            return
        what = f"{counted(count)} from before {local(cutoff):%Y-%m-%d %H:%M}"
        if dry_run:
            self.stdout.write(f"Would remove {what}.")
        elif no_input or input(f"Remove {what} for good? [y/N] ").strip().lower() == "y":
            self.stdout.write(f"Removed {counted(seals.prune(old))}.")
        else:
            self.stdout.write("Nothing was removed.")

    def handle_forget(
        self, *, database: str | None, model: str, key: str, reason: str, **options: Any
    ) -> None:
        done = forget(model, key, reason, [database] if database else None)
        for one in done:
            also = f" and {one.rows:,} other row(s)" if one.rows else ""
            self.stdout.write(f"Forgot values in {counted(one.entries)}{also} of {one.using!r}.")
            if one.is_there:
                self.stdout.write(f"The table in {one.using!r} still has {model} {key}.")
        if not any(one.entries or one.rows for one in done):
            self.stdout.write(f"{model} {key} is already forgotten.")

    def handle_export(self, *, database: str, subject: Any, **options: Any) -> None:
        chosen = {by: options[name] for name, by in FILTERS.items() if options[name] is not None}
        found = entries = Entry.objects.using(database).filter(**chosen).order_by("pk")
        if subject:
            person = Person(subject[0], subject[1], database).find()
            if not (person.about or person.by):
                raise person.never_was()
            for keys in batched(sorted(person.about | person.by), BATCH):
                self._write(entries.filter(pk__in=keys))
            return
        while some := list(found[:BATCH]):
            self._write(some)
            found = entries.filter(pk__gt=some[-1].pk)

    def _write(self, entries: Iterable[Entry]) -> None:
        lines: str = serializers.serialize("jsonl", entries, ensure_ascii=True)
        self.stdout.write(lines, ending="")

    def handle_history(
        self, *, database: str, model: str, key: str, limit: int, **options: Any
    ) -> None:
        some = list(Entry.objects.using(database).named(model, key)[: limit + 1])
        if not some:
            raise CommandError(
                f"The trail has no entry of {model} {key}. It has those of the models in"
                " AUDITED_MODELS, for example of accounts.User 1."
            )
        page = Page(some[:limit])
        for entry in some[:limit]:
            who = f"{entry.get_action_display()} by {actor_name(entry)}"
            when, where = local(entry.created_at), entry.get_source_display().lower()
            self.stdout.write(f"#{entry.pk}  {when:%Y-%m-%d %H:%M:%S %Z}  {who}, {where}")
            if entry.action == Entry.Action.RESTORE:
                self.stdout.write("  {} entry #{}".format(*origin(entry.changes)))
            for change in page.changes(entry):
                masked = ": secret, not recorded" if change.masked else ""
                self.stdout.write(f"  {change.label}{masked}")
                for sign, text in (("-", change.old), ("+", change.new)):
                    if text is not None:
                        lines = (text or "(empty)").expandtabs().splitlines()
                        self.stdout.write(f"    {sign} " + "\n      ".join(lines))
            self.stdout.write("")
        if len(some) > limit:
            self.stdout.write(f"There are more entries: --limit {limit * 5}")

    def handle_backfill(self, *, database: str, model: str | None, **options: Any) -> None:
        # The tables of parents come first.
        every = sorted(registry.audited_models(), key=lambda one: len(one.__mro__))
        found = model_of(model or "")
        chosen = [one for one in every if not model or (found and issubclass(found, one))]
        if not chosen:
            raise CommandError(
                f"{model or '--all'} names no audited model of this project; give one of those in"
                " AUDITED_MODELS, for example accounts.User."
            )
        if faults := triggers.faults(connections[database]):
            raise CommandError(faults[0])
        for one in chosen:
            added = backfill(registry.audited_models()[one], using=database)
            self.stdout.write(f"{one._meta.label}: {counted(added)} added.")

    def handle_stop(self, *, database: str, **options: Any) -> None:
        triggers.Triggers(connections[database]).drop()
        self.stdout.write(f"Nothing is recorded in {database!r} any more. `migrate` changes that.")
