"""``manage.py signals``: which receiver runs when."""

import shutil
from argparse import ArgumentParser
from difflib import unified_diff
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.signal_map import document, formats
from apps.signal_map.entries import FILTERS, entries_of, read_entries

WIDEST = 100


class Command(BaseCommand):
    """Lists the receivers, and writes or checks the document."""

    help = "List which receiver runs when: by sender and signal, in the order in which they run."
    # The checks warn of receivers that this command must be able to show.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        for name in FILTERS:
            text = f"only this {name}; may be repeated"
            parser.add_argument(f"--{name}", action="append", default=[], help=text)
        parser.add_argument("--own", action="store_true", help="leave out receivers of packages")
        parser.add_argument("--format", choices=("table", "json"), default="table")
        deed = parser.add_mutually_exclusive_group()
        deed.add_argument("--write", action="store_true", help="write docs/signals.md")
        deed.add_argument("--check", action="store_true", help="fail when it is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, write or check.

        Raises:
            CommandError: when the document is out of date, or for a filter that fits nothing.
        """
        chosen = {name: options[name] for name in FILTERS}
        if options["write"] or options["check"]:
            if any(chosen.values()) or options["own"] or options["format"] != "table":
                raise CommandError("--write and --check use the whole document: no filters.")
            return self.write() if options["write"] else self.check_document()
        entries = [entry for entry in read_entries() if entry.place.is_own or not options["own"]]
        try:
            entries = entries_of(entries, chosen)
        except LookupError as error:
            raise CommandError(str(error.args[0])) from error
        if options["format"] == "json":
            self.stdout.write(formats.as_json(entries))
        else:
            text = formats.table(entries, min(shutil.get_terminal_size().columns, WIDEST))
            self.stdout.write(text or "Nothing is connected.")

    def write(self) -> None:
        """Write the document."""
        entries = document.documented(read_entries())
        path = document.path_of_document()
        path.parent.mkdir(exist_ok=True)
        path.write_text(document.document(entries), encoding="utf-8", newline="\n")
        self.stdout.write(f"docs/signals.md lists {len(entries)} connections.")

    def check_document(self) -> None:
        """Compare the document with what is connected; name what differs."""
        entries = document.documented(read_entries())
        path = document.path_of_document()
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = document.document(entries)
        if written == wanted:
            self.stdout.write("docs/signals.md is up to date.")
            return
        rows = {document.row(entry): entry for entry in entries}
        listed = [line for line in written.splitlines() if line.startswith("| `")]
        said = [
            f"  not in it: {entry.place} {entry.place.name}, on {entry.where}"
            for text, entry in rows.items()
            if text not in listed
        ]
        said += [f"  no longer so: {text}" for text in listed if text not in rows]
        if not said:  # the order, or the text around the table
            difference = unified_diff(written.splitlines(), wanted.splitlines(), n=0, lineterm="")
            said = [f"  {line}" for line in list(difference)[3:]]
        advice = "Run manage.py signals --write, look at what has changed, and commit it."
        raise CommandError("\n".join([f"docs/signals.md is out of date. {advice}", *said]))
