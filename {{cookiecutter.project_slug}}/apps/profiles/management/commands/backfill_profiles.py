from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS

from apps.profiles.models import Profile


class Command(BaseCommand):
    help = "Create a profile for every user without one, for example after an import."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="Alias of the database (default: default)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        created = Profile.objects.db_manager(options["database"]).backfill()
        self.stdout.write(
            self.style.SUCCESS(f"Created {created} profile{'' if created == 1 else 's'}.")
        )
