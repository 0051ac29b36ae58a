"""Django's own ``flush``, refused outside of tests, because it would empty the trail too."""

from typing import Any

from django.core import mail
from django.core.management.base import CommandError
from django.core.management.commands import flush
from django.db import connections

from apps.audit import triggers


class Command(flush.Command):
    """Empties the tables of a test's database, and refuses to do so anywhere else."""

    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        if triggers.ENTRIES not in connection.introspection.table_names():
            # A database of which the routers keep the trail away.
            super().handle(**options)
            return
        # Only Django's test environment has an outbox.
        if not hasattr(mail, "outbox"):
            raise CommandError(
                f"flush would empty the audit trail of the database {connection.alias!r} with"
                " everything else, and the trail can only be added to. To begin again in"
                " development, drop the database and run migrate."
            )
        with triggers.without_protection(connection):
            super().handle(**options)
            with connection.cursor() as cursor:
                # Rows that were deleted after the entries have added new ones.
                cursor.execute(f"DELETE FROM {triggers.ENTRIES}")  # noqa: S608
