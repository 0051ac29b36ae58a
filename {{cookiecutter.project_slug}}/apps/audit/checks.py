"""System checks: what the trail could not see, said before anything is lost."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.models import DO_NOTHING, Field, Model
from django.db.models.deletion import SKIP_COLLECTION

from . import registry
from .dialects import DIALECTS
from .models import Entry


def check_what_cannot_be_seen(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of changes that a database makes by itself, and of databases that cannot be written to."""
    return [*_changes_of_the_database(), *_databases()]


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


def _changes_of_the_database() -> Iterator[CheckMessage]:
    for model in registry.audited_models():
        for field in _keys_of_rows_and_links(model):
            on_delete = getattr(field.remote_field, "on_delete", None)
            if on_delete in SKIP_COLLECTION and on_delete is not DO_NOTHING:
                yield Warning(
                    f"{field} has on_delete={on_delete}, which the database carries out by itself:"
                    " the audit trail will not have what becomes of these rows.",
                    hint=f"Use models.{str(on_delete).removeprefix('DB_')} instead.",
                    obj=model,
                    id="audit.W001",
                )


def _keys_of_rows_and_links(model: type[Model]) -> Iterator[Field]:
    yield from model._meta.local_concrete_fields
    for many in model._meta.local_many_to_many:
        through: Any = many.remote_field.through
        yield from through._meta.local_concrete_fields


def _databases() -> Iterator[CheckMessage]:
    for alias in connections:
        connection = connections[alias]
        if connection.vendor not in DIALECTS and router.allow_migrate_model(alias, Entry):
            yield Error(
                f"The database {alias!r} is {connection.display_name}, to which the audit trail"
                " cannot write: it knows SQLite and PostgreSQL.",
                hint="For example DATABASE_URL=postgres://user:password@127.0.0.1:5432/name.",
                id="audit.E001",
            )
