from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS

from apps.taskboard import services


class Command(BaseCommand):
    help = "Announce each overdue task once for its due date, as a periodic job does every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="Alias of the database (default: default)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        announced = services.announce_overdue(using=options["database"])
        self.stdout.write(
            self.style.SUCCESS(
                f"Announced {announced} overdue task{'' if announced == 1 else 's'}."
            )
        )
