"""Many-to-many changes: what a join table held before and holds after, whichever side asked.

Django's signal tells what was asked for. What came of it can be less: a link to
be removed may not be there, and a clear may spare what a manager hides.
"""

from collections import defaultdict
from typing import Any, Final

from django.db.models import ManyToManyField, Model, QuerySet

from . import registry, rows, saves, values
from .models import Entry

# Pairs of keys: of the object with the many-to-many field, and of the one it points to.
type Links = set[tuple[Any, Any]]

PENDING: Final = "audit_links"


def remember(
    through: type[Model], instance: Model, reverse: bool, pk_set: set[Any] | None, using: str
) -> None:
    """Remember what links there are before they are added to, removed or cleared."""
    saves.settle()
    pending = vars(instance._state).setdefault(PENDING, {})
    for _, field in registry.links_of(through):
        pending[field] = _read(field, instance, reverse, pk_set, using, lock=True)


def record(
    through: type[Model], instance: Model, reverse: bool, pk_set: set[Any] | None, using: str
) -> None:
    """Write an entry for each object whose links are others now."""
    pending: dict[ManyToManyField, Links] = vars(instance._state).get(PENDING, {})
    for audited, field in registry.links_of(through):
        before = pending.pop(field, None)
        if before is None:
            continue
        after = _read(field, instance, reverse, pk_set, using)
        target_pk = field.remote_field.model._meta.pk
        changes: dict[Any, dict[str, list[Any]]] = defaultdict(lambda: {"added": [], "removed": []})
        for verb, links in (("added", after - before), ("removed", before - after)):
            for source, target in sorted(links):
                changes[source][verb].append(values.encode(target_pk, target))
        if set(changes) == {instance.pk} and isinstance(instance, audited.model):
            owners = {instance.pk: instance}
        else:
            owners = QuerySet(audited.model, using=using).in_bulk(changes)
        for pk, owner in owners.items():
            rows.write(audited, owner, using, Entry.Action.UPDATE, {field.name: changes[pk]})


def _read(
    field: ManyToManyField,
    instance: Model,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    *,
    lock: bool = False,
) -> Links:
    source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
    near, far = (target, source) if reverse else (source, target)
    wanted = {near: instance} if pk_set is None else {near: instance, f"{far}__in": pk_set}
    found: QuerySet[Model] = QuerySet(field.remote_field.through, using=using).filter(**wanted)
    if lock:
        found = found.select_for_update()
    links = set(found.values_list(f"{source}__pk", f"{target}__pk"))
    if field.remote_field.symmetrical:
        # Django writes the mirror images after the signal.
        links |= {(target, source) for source, target in links}
    return links
