"""Former names of models and fields, to read entries that are older than a renaming.

Each renaming is an entry. ``model_label`` is the label after it. ``changes`` maps the new name of
a field to ``{"renamed": <the old name>}``. The empty name means the model.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.db.migrations import operations
from django.db.models import Q, QuerySet

# The name under which an entry says that the model itself was renamed.
MODEL: Final = ""
LAST: Final = 2**63 - 1
# The actions of entries whose changes are those of fields of the model.
WRITES: Final = ("create", "update", "delete", "state")


class Renaming(NamedTuple):
    """A renaming that an entry records, of a field of the model or of the model itself."""

    label: str
    old: str
    new: str = MODEL


class Span(NamedTuple):
    """Entries under one label: those after the id ``after``, up to the id ``until``.

    ``names`` maps names of fields that have changed since to those of today, None for a gone field.
    """

    label: str
    after: int
    until: int
    names: Mapping[str, str | None]


class Names:
    """All renamings that a trail has, read at once from all its entries."""

    def __init__(self, entries: QuerySet[Any]) -> None:
        renames = entries.filter(action="rename").order_by("-pk")
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
                # Before it, another model had this label.
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
        yield Span(label, -LAST, until, names)

    def condition(self, labels: Iterable[str]) -> Q:
        """Return the condition for the entries of some models under all their labels."""
        found = Q(pk__in=())
        for label in labels:
            for span in self.spans(label):
                found |= Q(model_label=span.label, pk__gt=span.after, pk__lte=span.until)
        return found

    def label(self, entry: Any) -> str:
        """Return what the model of an entry is called today."""
        label: str = entry.model_label
        # An entry that is not saved yet has the label of today.
        last = LAST if entry.pk is None else entry.pk
        for key, one in reversed(self.renamings):
            if key > last and one.new == MODEL and one.old == label:
                label = one.label
        return label

    def today(self, entry: Any, names: Iterable[str]) -> list[str]:
        """Return what names of fields in an entry have become; one that has gone is marked."""
        spans = (one for one in self.spans(self.label(entry)) if one.after < entry.pk <= one.until)
        then = next((span.names for span in spans), dict[str, str | None]())
        return [then.get(name, name) or f"{name} (gone)" for name in names]

    def changes(self, entry: Any) -> dict[str, Any]:
        """Return the changes of an entry under the names of today."""
        if entry.action == "rename" or MODEL in entry.changes:
            return {}  # It says something of the object as a whole.
        names = self.today(entry, entry.changes) if entry.action in WRITES else entry.changes
        return dict(zip(names, entry.changes.values(), strict=True))


def plan(migrations: Sequence[tuple[Any, bool]], before: Any) -> None:
    """Let the migrations of a plan note each renaming, right after the step that renames.

    Their next step may write rows under the new names. ``before`` are the apps of ``pre_migrate``.
    """
    metas = [model._meta for model in before.get_models() if not model._meta.proxy]
    labels = {meta.label_lower: meta.label for meta in metas}
    tables = {meta.db_table: meta.label for meta in metas}
    for migration, backwards in migrations:
        direction, steps = -1 if backwards else 1, []
        for step in migration.operations[::direction]:
            steps.append(step)
            for one in _renamings(migration.app_label, step, direction, labels, tables):
                note, hints = partial(_note, one), {"model_name": one.label.split(".")[1].lower()}
                steps.append(operations.RunPython(note, note, hints=hints))
        migration.operations = steps[::direction]


def _note(one: Renaming, apps_then: Any, schema_editor: Any) -> None:
    """Add the entry of a renaming."""
    connection, entry = schema_editor.connection, apps.get_model("audit.Entry")
    entries: QuerySet[Any] = QuerySet(entry, using=connection.alias)
    # Other apps may be migrated before the trail, or in a database without it.
    there = entry._meta.db_table in connection.introspection.table_names()
    if there and entries.filter(model_label=one.old if one.new == MODEL else one.label).exists():
        changes = {one.new: {"renamed": one.old}}
        entries.create(action="rename", model_label=one.label, changes=changes)


def _renamings(
    app: str,
    step: Any,
    direction: int,
    labels: dict[str, str],
    tables: dict[str, str],
    in_state: bool = False,
) -> Iterator[Renaming]:
    if isinstance(step, operations.SeparateDatabaseAndState):
        for part in step.database_operations:
            if isinstance(part, operations.AlterModelTable):
                old, new = (f"{app}_{part.name_lower}", part.table or "")[::direction]
                tables[new] = tables.get(old, "")
        for part in step.state_operations[::direction]:
            yield from _renamings(app, part, direction, labels, tables, in_state=True)
    elif isinstance(step, operations.CreateModel if direction > 0 else operations.DeleteModel):
        label = labels[f"{app}.{step.name}".lower()] = f"{app}.{step.name}"
        table = getattr(step, "options", {}).get("db_table") or f"{app}_{step.name_lower}"
        # Only the state gets a model whose table is there: it moves here from another app.
        if in_state and (old := tables.get(table, "")):
            yield Renaming(label, old)
        tables[table] = label
    elif isinstance(step, operations.RenameModel):
        old, new = (f"{app}.{name}" for name in (step.old_name, step.new_name)[::direction])
        labels[new.lower()] = new
        yield Renaming(new, labels.pop(old.lower(), old))
    elif isinstance(step, operations.RenameField):
        label = f"{app}.{step.model_name}"
        names = (step.old_name, step.new_name)[::direction]
        yield Renaming(labels.get(label.lower(), label), *names)
