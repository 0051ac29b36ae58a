"""System checks for faults that make the trail incomplete."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router

from . import registry, triggers
from .models import Entry


def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Find databases that cannot hold the trail, without a query."""
    return [error for alias in connections for error in _errors(alias)]


def check_triggers(
    app_configs: Sequence[AppConfig] | None, *, databases: Sequence[str] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Find triggers that are missing or are not what they should be; only with ``--database``.

    It gives warnings, because an error would stop ``migrate``, which repairs the triggers.
    """
    return [
        Warning(fault, id="audit.W001")
        for alias in databases or ()
        for fault in triggers.faults(connections[alias])
    ]


def _errors(alias: str) -> Iterator[CheckMessage]:
    connection = connections[alias]
    if not router.allow_migrate_model(alias, Entry):
        for model in registry.audited_models():
            if router.allow_migrate_model(alias, model):
                yield Error(
                    f"The database {alias!r} has the table of {model._meta.label}, which is"
                    " audited, and not that of the trail: nothing would be recorded there.",
                    hint="Let the router allow audit.Entry and audit.Seal in this database.",
                    obj=model,
                    id="audit.E002",
                )
    elif connection.vendor not in triggers.CAPTURES:
        yield Error(
            f"The database {alias!r} is {connection.display_name}, to which the audit trail"
            " cannot write: it knows SQLite and PostgreSQL.",
            hint="For example DATABASE_URL=postgres://user:password@127.0.0.1:5432/name.",
            id="audit.E001",
        )
    elif connection.vendor == "sqlite" and connection.timezone_name != "UTC" and settings.USE_TZ:
        yield Error(
            f"The database {alias!r} is SQLite and keeps times as they are in"
            f" {connection.timezone_name}, which the audit trail cannot record.",
            hint=f"Remove TIME_ZONE from DATABASES[{alias!r}]: Django then keeps them in UTC.",
            id="audit.E003",
        )
