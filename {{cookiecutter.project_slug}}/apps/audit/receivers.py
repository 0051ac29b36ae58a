"""Receivers that keep the trail; ``registry.register`` connects them to what is audited.

No ``mute`` switches them off. Fixtures (``raw``) pass them by: what
``loaddata`` writes is no deed of a person.
"""

from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from apps.core.dispatch import receiver

from . import links, registry, rows, saves

PENDING: Final = "audit_row"


def connect(model: type[Model]) -> None:
    """Connect the receivers to a model, to its proxies and children, and to its join tables."""
    for signal, function in (
        (pre_save, remember_before_save),
        (post_save, record_save),
        (pre_delete, remember_before_delete),
        (post_delete, record_delete),
    ):
        receiver(signal, sender=model, include_subclasses=True, mutable=False)(function)
    for field in model._meta.many_to_many:
        receiver(m2m_changed, sender=field.remote_field.through, mutable=False)(record_links)


def remember_before_save(
    sender: type[Model],
    instance: Model,
    using: str = DEFAULT_DB_ALIAS,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    """Remember what a row holds before it is saved, and lock it."""
    saves.begin(instance, using, update_fields)


def record_save(sender: type[Model], instance: Model, **kwargs: Any) -> None:
    """Record what a save has created or changed."""
    saves.finish(instance)


def remember_before_delete(
    sender: type[Model], instance: Model, using: str = DEFAULT_DB_ALIAS, **kwargs: Any
) -> None:
    """Remember what a row holds before it is deleted, and lock it."""
    # Django sends the signal for the row of each parent as well.
    audited = registry.audited_exactly(sender)
    if audited:
        saves.settle()
        fields = registry.fields_of(audited)
        vars(instance._state)[PENDING] = rows.read(audited, instance.pk, using, fields, lock=True)


def record_delete(
    sender: type[Model], instance: Model, using: str = DEFAULT_DB_ALIAS, **kwargs: Any
) -> None:
    """Record what a deleted row held."""
    audited = registry.audited_exactly(sender)
    row = vars(instance._state).pop(PENDING, None)
    if audited and row is not None:
        rows.record(audited, instance, using, row, None)


def record_links(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    """Record what links of a many-to-many field were added or removed."""
    if pk_set is None or pk_set:
        step = links.remember if action.startswith("pre_") else links.record
        step(sender, instance, reverse, pk_set, using)
