"""Reading the audited columns of a row, and writing the entry for what became of it."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Field, Model, QuerySet

from apps.core.actor import current_actor, current_request_id, current_source

from . import registry, values
from .models import Entry
from .registry import Audited

# Names of fields and their values as JSON data; None for a row that is not there.
type Row = dict[str, Any]


def read(
    audited: Audited,
    pk: Any,
    using: str,
    fields: tuple[Field, ...],
    *,
    lock: bool = False,
) -> Row | None:
    """Read columns of a row as they are in the database, past managers that hide rows.

    ``lock`` holds the row to the end of the transaction where the database can,
    so that nobody changes it between this reading and the write that follows.
    """
    if pk is None or hasattr(pk, "resolve_expression"):
        return None
    rows: QuerySet[Model] = QuerySet(audited.model, using=using).filter(pk=pk)
    if lock:
        # The weaker lock, where there is one, lets others add rows that point here.
        no_key = connections[using].features.has_select_for_no_key_update
        rows = rows.select_for_update(no_key=no_key)
    for found in rows.values("pk", *(field.attname for field in fields)):
        return {field.name: values.encode(field, found[field.attname]) for field in fields}
    return None


def written(audited: Audited, instance: Model, using: str, fields: tuple[Field, ...]) -> Row | None:
    """Return columns of a row just saved, from the instance as far as it can be trusted."""
    row: Row = {}
    uncertain = []
    for field in fields:
        value = field.value_from_object(instance)
        if values.certain(field, value):
            row[field.name] = values.encode(field, value)
        else:
            uncertain.append(field)
    if uncertain:
        reread = read(audited, instance.pk, using, tuple(uncertain))
        if reread is None:
            return None
        row |= reread
    return row


def record(
    audited: Audited, instance: Model, using: str, before: Row | None, after: Row | None
) -> None:
    """Write the entry for a row that was created, changed or deleted; none when it is the same."""
    if before is None and after is None:
        return
    if before is None or after is None:
        action = Entry.Action.CREATE if before is None else Entry.Action.DELETE
        old, new = before or {}, after or {}
        names = list(old or new)
    else:
        action = Entry.Action.UPDATE
        old, new = before, after
        names = [name for name in new if name in old and not values.same(old[name], new[name])]
    if names or action != Entry.Action.UPDATE:
        changes = {name: {"old": old.get(name), "new": new.get(name)} for name in names}
        write(audited, instance, using, action, changes)


def write(
    audited: Audited, instance: Model, using: str, action: Entry.Action, changes: dict[str, Any]
) -> None:
    """Add an entry, with who is acting, in the database of the change."""
    actor = current_actor()
    Entry(
        action=action,
        content_type_id=ContentType.objects.db_manager(using).get_for_model(audited.model).pk,
        model_label=audited.model._meta.label,
        object_id=registry.object_key(audited.model, instance.pk),
        object_repr=text_of(instance),
        actor_id=actor.pk if actor else None,
        actor_name=actor.get_username() if actor else "",
        source=current_source(),
        request_id=current_request_id(),
        changes={
            name: {"masked": True} if name in audited.masked else change
            for name, change in changes.items()
        },
    ).save(using=using)


def text_of(instance: Model) -> str:
    """Return what an object is called, at most 200 characters."""
    try:
        return str(instance)[:200]
    except Exception:  # noqa: BLE001  a name that cannot be made must not stop the change itself
        return f"{instance._meta.verbose_name} {instance.pk}"[:200]
