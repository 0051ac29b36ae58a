"""How models and fields were called before migrations renamed them.

Each renaming of a model or field that has entries adds an entry of its own, in the
transaction in which the migration is noted as applied. ``model_label`` is the label
after it, and ``changes`` maps the new name of a field, or the empty name for the
model itself, to ``{"renamed": <the old name>}``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.migrations.operations import (
    CreateModel,
    RenameField,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.models import Q, QuerySet

from .models import Entry

MODEL: Final = ""
LAST: Final = 2**63 - 1
# How the statements begin with which Django notes that a migration is applied, or no longer.
NOTES: Final = ('INSERT INTO "django_migrations"', 'DELETE FROM "django_migrations"')


@dataclass(frozen=True, slots=True)
class Renaming:
    """A model or, with the names of a field, a field that is called otherwise from now on."""

    label: str
    old: str
    new: str = MODEL


@dataclass(frozen=True, slots=True)
class Span:
    """Entries under one label: those after the id ``after``, up to the id ``until``.

    ``names`` maps names that fields had then to those of today, None for a field that has
    gone. Names that it lacks have not changed.
    """

    label: str
    after: int
    until: int
    names: Mapping[str, str | None]


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


def spans(label: str, using: str) -> Iterator[Span]:
    """Find the entries of a model under all labels it has had, the latest first."""
    yield from Names(using).spans(label)


class Names:
    """All renamings that the trail of a database has, read at once."""

    def __init__(self, using: str) -> None:
        entries: QuerySet[Entry] = QuerySet(Entry, using=using)
        renames = entries.filter(action=Entry.Action.RENAME).order_by("-pk")
        self.renamings = [
            (key, Renaming(label, change["renamed"], new))
            for key, label, changes in renames.values_list("pk", "model_label", "changes")
            for new, change in changes.items()
        ]

    def spans(self, label: str) -> Iterator[Span]:
        """Find the entries of a model under all labels it has had, the latest first."""
        until, names = LAST, dict[str, str | None]()
        for key, one in self.renamings:
            if one.new == MODEL and one.old == label and one.label != label:
                # What has this label before was renamed: it is another model.
                yield Span(label, key, until, names)
                return
            if one.label != label:
                continue
            yield Span(label, key, until, names)
            until = key
            if one.new == MODEL:
                label = one.old
            else:
                names = names | {one.new: None, one.old: names.get(one.new, one.new)}
        yield Span(label, 0, until, names)

    def condition(self, labels: Iterable[str]) -> Q:
        """Return the condition for the entries of some models under all their labels."""
        found = Q(pk__in=())
        for label in labels:
            for span in self.spans(label):
                part = Q(model_label=span.label)
                if span.after:
                    part &= Q(pk__gt=span.after)
                if span.until != LAST:
                    part &= Q(pk__lte=span.until)
                found |= part
        return found

    def label(self, entry: Entry) -> str:
        """Return what the model of an entry is called today."""
        label = entry.model_label
        for key, one in reversed(self.renamings):
            if key > entry.pk and one.new == MODEL and one.old == label:
                label = one.label
        return label

    def changes(self, entry: Entry) -> dict[str, Any]:
        """Return the changes of an entry under today's names; what has gone keeps its own."""
        if entry.action == Entry.Action.RENAME:
            return {}
        for span in self.spans(self.label(entry)):
            if span.after < entry.pk <= span.until:
                return {
                    (span.names.get(name, name) or f"{name} (gone)"): change
                    for name, change in entry.changes.items()
                }
        return dict(entry.changes)


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
