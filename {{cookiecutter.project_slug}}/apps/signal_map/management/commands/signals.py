"""``manage.py signals``: which receiver runs when."""

import shutil
from argparse import ArgumentParser
from difflib import unified_diff
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.signal_map import document, formats
from apps.signal_map.entries import Entry, entries_of, read_entries

WIDEST = 100


class Command(BaseCommand):
    """Lists the receivers, and writes or checks the document."""

    help = "List which receiver runs when: by sender and signal, in the order in which they run."
    # The checks warn of receivers that this command must be able to show.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        for name, example in (("sender", "accounts.User"), ("signal", "post_save"), ("app", "")):
            parser.add_argument(
                f"--{name}",
                action="append",
                default=[],
                metavar=name.upper(),
                help=f"only this {name}{f', such as {example}' if example else ''}; may be repeated",
            )
        parser.add_argument(
            "--format",
            choices=("table", "json", "mermaid", "markdown"),
            default="table",
            help="what to print (table)",
        )
        parser.add_argument(
            "--own", action="store_true", help="only receivers of the project, none of packages"
        )
        deed = parser.add_mutually_exclusive_group()
        deed.add_argument("--write", action="store_true", help="write docs/signals.md")
        deed.add_argument(
            "--check", action="store_true", help="fail when docs/signals.md is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, write or check.

        Raises:
            CommandError: when the document is out of date, or for a filter that fits nothing.
        """
        chosen = {name: options[name] for name in ("sender", "signal", "app")}
        if options["write"] or options["check"]:
            if any(chosen.values()) or options["own"] or options["format"] != "table":
                raise CommandError("--write and --check use the whole document: no filters.")
            entries = document.documented(read_entries())
            return self.write(entries) if options["write"] else self.check_document(entries)
        entries = [entry for entry in read_entries() if entry.place.is_own or not options["own"]]
        try:
            entries = entries_of(
                entries,
                senders=chosen["sender"],
                signals=chosen["signal"],
                app_labels=chosen["app"],
            )
        except LookupError as error:
            raise CommandError(str(error.args[0])) from error
        self.stdout.write(self.formatted(entries, options["format"]))

    def formatted(self, entries: list[Entry], style: str) -> str:
        """Write entries in one of the formats."""
        if style == "json":
            return formats.as_json(entries)
        if style == "mermaid":
            return formats.as_mermaid(entries)
        if style == "markdown":
            return formats.as_markdown(entries)
        if not entries:
            return "Nothing is connected."
        width = min(shutil.get_terminal_size().columns, WIDEST)
        return formats.table(
            entries, width, head=self.style.MIGRATE_HEADING, dim=self.style.HTTP_NOT_MODIFIED
        )

    def write(self, entries: list[Entry]) -> None:
        """Write the document."""
        path = document.path_of_document()
        path.parent.mkdir(exist_ok=True)
        path.write_text(document.document(entries), encoding="utf-8", newline="\n")
        self.stdout.write(f"docs/signals.md lists {len(entries)} connections.")

    def check_document(self, entries: list[Entry]) -> None:
        """Compare the document with what is connected."""
        path = document.path_of_document()
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = document.document(entries)
        if written == wanted:
            self.stdout.write("docs/signals.md is up to date.")
            return
        raise CommandError(
            "\n".join(
                [
                    "docs/signals.md is out of date. Run manage.py signals --write, look at what"
                    " has changed, and commit it.",
                    *self.differences(entries, written, wanted),
                ]
            )
        )

    def differences(self, entries: list[Entry], written: str, wanted: str) -> list[str]:
        """Say what is connected and not written down, and the other way round."""
        rows = {document.row(entry): entry for entry in entries}
        listed = {line for line in written.splitlines() if line.startswith("| `")}
        said = [
            f"  not in it: {entry.place} {entry.place.name},"
            f" on {entry.signal.name} of {entry.sender}"
            for text, entry in rows.items()
            if text not in listed
        ]
        said += [
            f"  no longer so: {text}" for text in written.splitlines()
            if text in listed and text not in rows
        ]  # fmt: skip
        if not said:  # the order, or the text around the table
            difference = unified_diff(written.splitlines(), wanted.splitlines(), n=0, lineterm="")
            said = [f"  {line}" for line in list(difference)[3:]]
        return said
