"""System checks: what would keep the trail from being complete."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from . import registry, triggers
from .models import Entry


def refuse_local_times() -> None:
    """Stop where the trail would have to know in SQL when the clocks of a place were changed.

    Raises:
        ImproperlyConfigured: when SQLite keeps times in another zone than UTC.
    """
    for alias in connections:
        connection = connections[alias]
        zone = connection.settings_dict["TIME_ZONE"]
        if connection.vendor == "sqlite" and settings.USE_TZ and zone not in (None, "UTC"):
            raise ImproperlyConfigured(
                f"The audit trail cannot record the times in the database {alias!r}, which is"
                f" SQLite and keeps them as they are in {zone}. Remove TIME_ZONE from"
                f" DATABASES[{alias!r}]: Django then keeps them in UTC."
            )


def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Find databases that the trail cannot be kept in, without asking any."""
    return [error for alias in connections for error in _errors(alias)]


def check_triggers(
    app_configs: Sequence[AppConfig] | None, *, databases: Sequence[str] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Find triggers that are missing or are not what they should be; ``--database`` asks for it.

    No errors, which would stop ``migrate``, the way to mend them.
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
    # Django does not document the list that `execute_wrapper()` adds to.
    if not isinstance(getattr(connection, "execute_wrappers", None), list):
        yield Error(
            "This Django keeps the wrappers around statements in another way than"
            " apps/audit/context.py knows: triggers would not be told who acts.",
            id="audit.E003",
        )
