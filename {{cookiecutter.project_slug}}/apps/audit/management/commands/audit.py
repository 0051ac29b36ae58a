"""The trail on the command line: seal, verify, prune, export and history."""

import os
import re
import shutil
import sys
from argparse import SUPPRESS, ArgumentTypeError
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.color import color_style, no_style
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from apps.audit import export, registry, retention, seals, terminal
from apps.audit.models import Entry, Seal
from apps.audit.presentation import harmless, local

DAYS: Final = {"d": 1, "w": 7, "y": 365}


def age(text: str) -> timedelta:
    """Read an age such as ``365d``."""
    found = re.fullmatch(r"(\d{1,5})([dwy])", text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no age in days, weeks or years; for example 365d.")
    age = timedelta(days=int(found[1]) * DAYS[found[2]])
    try:
        timezone.now() - age
    except OverflowError as error:
        raise ArgumentTypeError(f"{text!r} ago there was no year to count.") from error
    return age


def number_of_entries(text: str) -> int:
    """Read a number of one and more, and of no more than a database can be asked for."""
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise ArgumentTypeError(f"{text!r} is no number of entries; for example 20.")
    return int(text)


def moment(text: str) -> datetime:
    """Read a date or a time, in the time zone of the project unless it names one."""
    try:
        day = parse_date(text)
        found = datetime.combine(day, datetime.min.time()) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(
            f"{text!r} is no date or time; for example 2026-01-31 or 2026-01-31T12:00."
        )
    return timezone.make_aware(found) if timezone.is_naive(found) else found


# Each verb with what it does, and its arguments.
VERBS: Final[dict[str, tuple[str, dict[str, dict[str, Any]]]]] = {
    "seal": ("Add what is new on the trail to its chain of seals. Run it from cron.", {}),
    "verify": (
        "Compare the trail with its seals; exit with 1 when it differs.",
        {
            "--noted": {
                "metavar": "SEAL",
                "help": "A seal that was noted elsewhere, as `audit seal` printed it:"
                " 42:9f86d081884c7d65.",
            }
        },
    ),
    "prune": (
        "Remove old entries for good.",
        {
            "--older-than": {
                "type": age,
                "required": True,
                "metavar": "AGE",
                "help": "For example 365d, 52w, 1y.",
            },
            "--dry-run": {"action": "store_true", "help": "Say what would be removed."},
            "--no-input": {"action": "store_true", "help": "Ask nothing."},
        },
    ),
    "export": (
        "Write the trail as lines of JSON, one entry each, the oldest first.",
        {
            "--output": {"type": Path, "metavar": "FILE", "help": "A file instead of the screen."},
            "--model": {"metavar": "app.Model", "help": "Only entries of this model."},
            "--object": {"metavar": "KEY", "help": "Only entries of objects with this key."},
            "--actor": {"metavar": "NAME", "help": "Only what the user of this name did."},
            "--action": {"choices": Entry.Action.values},
            "--source": {"choices": Entry.Source.values},
            "--since": {"type": moment, "metavar": "TIME", "help": "For example 2026-01-31."},
            "--before": {"type": moment, "metavar": "TIME", "help": "For example 2026-02-01."},
        },
    ),
    "history": (
        "Show what happened to one object, the latest first.",
        {
            "model": {"metavar": "app.Model"},
            "key": {"help": "The primary key of the object."},
            "--limit": {
                "type": number_of_entries,
                "default": 20,
                "help": "How many entries (default: 20).",
            },
        },
    ),
}


class Command(BaseCommand):
    help = "Seals, verifies, prunes, exports and shows the audit trail."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
        shared = CommandParser(add_help=False)
        shared.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            choices=tuple(connections),
            help="The database of the trail.",
        )
        for colour in ("--no-color", "--force-color"):
            # Django's own, which would otherwise have to stand before the verb.
            shared.add_argument(colour, action="store_true", default=SUPPRESS, help=SUPPRESS)
        for name, (does, arguments) in VERBS.items():
            verb = verbs.add_parser(name, help=does, description=does, parents=[shared])
            for words, options in arguments.items():
                verb.add_argument(words, **options)

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"handle_{verb}")(**options)
            self.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has seen enough; Python would complain once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (seals.StillWritingError, retention.ChainMovedError) as error:
            raise CommandError(str(error)) from error

    def handle_seal(self, *, database: str, **options: Any) -> None:
        """Seal, and print the last seal, to be noted elsewhere."""
        sealed, last = 0, None
        for last in seals.seal(database):
            sealed += last.count
        if last is None:
            last = Seal.objects.using(database).order_by("number").last()
            self.stdout.write("Nothing new to seal." if last else "The trail is empty.")
        else:
            plural = "entry" if sealed == 1 else "entries"
            self.stdout.write(f"Sealed {sealed:,} {plural}, up to {last.until}.")
        if last:
            self.stdout.write(f"Last seal: {harmless(str(last))}")

    def handle_verify(self, *, database: str, noted: str | None, **options: Any) -> None:
        """Print what is not as it was sealed."""
        sealed = Seal.objects.using(database).order_by("number")
        covered = seals.covered(database)
        found = 0
        try:
            for finding in seals.verify(database, noted=noted):
                found += 1
                self.stdout.write(harmless(str(finding)))
        except ValueError as error:
            raise CommandError(str(error)) from error
        unsealed = Entry.objects.using(database).filter(pk__gt=covered).order_by("pk").first()
        last = sealed.last()
        if last is None:
            self.stdout.write("There are no seals; `audit seal` adds the first.")
        else:
            for link in sealed.filter(kind=Seal.Kind.PRUNING):
                self.stdout.write(
                    f"Entries up to {link.until}, {link.count:,} of them, were pruned on"
                    f" {local(link.created_at):%Y-%m-%d} (seal {link.number})."
                )
            self.stdout.write(
                f"Compared with the seals up to {last.number}, which end at entry {covered}."
            )
            if unsealed:
                since = f"{local(unsealed.created_at):%Y-%m-%d %H:%M:%S %Z}".strip()
                self.stdout.write(f"Entries since {since} are not sealed yet.")
        if found:
            things = "thing is" if found == 1 else "things are"
            raise CommandError(f"The trail is not intact: {found:,} {things} not as sealed.")
        if last:
            self.stdout.write(self.style.SUCCESS("The trail is as it was sealed."))

    def handle_prune(
        self,
        *,
        database: str,
        older_than: timedelta,
        dry_run: bool,
        no_input: bool,
        **options: Any,
    ) -> None:
        """Remove old entries, after a question."""
        old = retention.older_than(timezone.now() - older_than, using=database)
        if old is None:
            self.stdout.write("No entry is that old.")
            return
        entries = "entry" if old.count == 1 else "entries"
        what = f"{old.count:,} {entries} from {old.first_at:%Y-%m-%d} to {old.last_at:%Y-%m-%d}"
        if dry_run:
            self.stdout.write(f"Would remove {what}.")
            return
        if not no_input and input(f"Remove {what} for good? [y/N] ").strip().lower() != "y":
            self.stdout.write("Nothing was removed.")
            return
        gone = retention.prune(old, using=database)
        self.stdout.write(f"Removed {gone:,} {'entry' if gone == 1 else 'entries'}.")

    def handle_export(self, *, database: str, output: Path | None, **options: Any) -> None:
        """Write lines of JSON; a file has the name it shall have only when it is complete."""
        entries = self._chosen(QuerySet(Entry, using=database), **options)
        if output is None:
            self._export(entries, self.stdout)
            return
        part = output.with_name(f"{output.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                count = self._export(entries, file)
            part.replace(output)
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
        self.stdout.write(f"Wrote {count:,} {'entry' if count == 1 else 'entries'} to {output}.")

    def _export(self, entries: QuerySet[Entry], file: Any) -> int:
        count = 0
        for entry in export.in_order(entries):
            file.write(f"{export.line_of(entry)}\n")
            count += 1
        return count

    def handle_history(
        self, *, database: str, model: str, key: str, limit: int, **options: Any
    ) -> None:
        """Show the entries of one object."""
        entries = Entry.objects.using(database).named(model, key)
        some = list(entries[: limit + 1])
        if not some:
            raise CommandError(self._no_history(model, key))
        coloured = options["force_color"] or (self.stdout.isatty() and not options["no_color"])
        style = color_style(force_color=True) if coloured else no_style()
        width = shutil.get_terminal_size((80, 24)).columns
        for line in terminal.history(some[:limit], width=width, style=style):
            self.stdout.write(line)
        if len(some) > limit:
            self.stdout.write(f"\nThere are more entries: --limit {limit * 5}")

    def _chosen(
        self,
        entries: QuerySet[Entry],
        *,
        model: str | None,
        object: str | None,
        actor: str | None,
        since: datetime | None,
        before: datetime | None,
        **options: Any,
    ) -> QuerySet[Entry]:
        if model:
            # The label as it was written, also of a model that the project no longer has.
            entries = entries.filter(model_label__iexact=model)
        wanted = {
            "object_id": object,
            "actor_name": actor,
            "action": options["action"],
            "source": options["source"],
            "created_at__gte": since,
            "created_at__lt": before,
        }
        return entries.filter(
            **{name: value for name, value in wanted.items() if value is not None}
        )

    def _no_history(self, label: str, key: str) -> str:
        try:
            model: type[Model] = apps.get_model(label)
        except (LookupError, ValueError):
            return f"{label!r} is no model of this project; for example accounts.User."
        if not registry.covering(model):
            return f"{model._meta.label} is not audited. List it in AUDITED_MODELS to audit it."
        return f"The trail has no entry of {model._meta.label} {key}."
