"""Entries that say which models and fields a migration has renamed.

Each is written in the transaction in which the migration is noted as applied, or
as no longer applied. ``model_label`` is the label after it, and ``changes`` maps the
new name of a field, or the empty name for the model itself, to
``{"renamed": <the old name>}``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from django.db.migrations.operations import (
    CreateModel,
    RenameField,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.models import QuerySet

from .lineage import MODEL, Renaming
from .models import Entry

# How the statements begin with which Django notes that a migration is applied, or no longer.
NOTES: Final = ('INSERT INTO "django_migrations"', 'DELETE FROM "django_migrations"')

# The alias of a database to what migrations under way rename, by the app and name of each.
_planned: Final[dict[str, dict[tuple[str, str], list[Renaming]]]] = {}


def plan(using: str, migrations: Sequence[tuple[Any, bool]], apps: Any) -> None:
    """Remember what the migrations of a plan will rename.

    Args:
        using: the alias of the database.
        migrations: the plan, as ``pre_migrate`` gives it.
        apps: the models before it, likewise.
    """
    labels = {model._meta.label_lower: model._meta.label for model in apps.get_models()}
    _planned[using] = {
        (migration.app_label, migration.name): list(_renamings(migration, backwards, labels))
        for migration, backwards in migrations
    }


def note(using: str, sql: str, params: Any) -> None:
    """Add the entries of a migration's renamings if a statement notes that it has been run."""
    planned = _planned.get(using)
    if not planned or not sql.startswith(NOTES):
        return
    for migration in [key for key in planned if {*key} <= {*map(str, params)}]:
        for one in planned.pop(migration):
            entries: QuerySet[Entry] = QuerySet(Entry, using=using)
            before = one.old if one.new == MODEL else one.label
            if entries.filter(model_label=before).exists():
                changes = {one.new: {"renamed": one.old}}
                Entry(action=Entry.Action.RENAME, model_label=one.label, changes=changes).save(
                    using=using
                )


def _renamings(migration: Any, backwards: bool, labels: dict[str, str]) -> Iterator[Renaming]:
    operations = [*_flat(migration.operations)]
    app = migration.app_label
    for operation in reversed(operations) if backwards else operations:
        if isinstance(operation, CreateModel):
            labels[f"{app}.{operation.name}".lower()] = f"{app}.{operation.name}"
        elif isinstance(operation, RenameModel):
            old, new = f"{app}.{operation.old_name}", f"{app}.{operation.new_name}"
            old, new = (new, old) if backwards else (old, new)
            labels[new.lower()] = new
            yield Renaming(new, labels.pop(old.lower(), old))
        elif isinstance(operation, RenameField):
            label = f"{app}.{operation.model_name}"
            names = operation.old_name, operation.new_name
            yield Renaming(labels.get(label.lower(), label), *(names[::-1] if backwards else names))


def _flat(operations: Iterable[Any]) -> Iterator[Any]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _flat(operation.state_operations)
        else:
            yield operation
