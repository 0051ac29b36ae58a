from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from apps.welcome_email.tasks import send_welcomes


class Command(BaseCommand):
    help = "Send every welcome mail that is still due, for example after the mail server was away."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="Alias of the database (default: default)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tried, failed = send_welcomes.call(using=options["database"])
        if failed:
            raise CommandError(f"{failed} of {tried} welcome mails could not be sent; see the log.")
        self.stdout.write(
            self.style.SUCCESS(f"Sent {tried} welcome mail{'' if tried == 1 else 's'}.")
        )
