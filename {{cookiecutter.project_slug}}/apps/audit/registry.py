"""Which models are audited, and how: ``AUDITED_MODELS`` in the settings, ``register`` in code."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Field, ManyToManyField, Model

# The values of fields whose names end like this never reach the trail.
SECRET_ENDINGS: Final = ("password", "secret", "token", "api_key", "private_key")


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """A model on whose rows the trail keeps entries, and the fields to leave out or to mask."""

    model: type[Model]
    excluded: frozenset[str]
    masked: frozenset[str]


_audited: Final[dict[type[Model], Audited]] = {}


def register(
    model: type[Model] | str, *, exclude: Iterable[str] | None = None, mask: Iterable[str] = ()
) -> None:
    """Audit a model from now on; call it in ``AppConfig.ready()``.

    Proxies of the model and models that inherit from it are recorded as this
    model. A second call replaces the options of the first.

    Args:
        model: a model or its label, ``"shop.Order"``; a proxy stands for its model.
        exclude: names of fields that are not recorded at all. By default
            ``last_login`` of a user model, which every login would record.
        mask: names of fields of which only the fact of a change is recorded,
            besides those whose names end in one of ``SECRET_ENDINGS``.

    Raises:
        ImproperlyConfigured: for an unknown model or field, a model without a
            table, the trail itself, or a call before the models are loaded.
    """
    from . import receivers, saves

    model = _concrete(model)
    names = {field.name for field in (*model._meta.concrete_fields, *model._meta.many_to_many)}
    if exclude is None:
        exclude = names & ({"last_login"} if issubclass(model, AbstractBaseUser) else set())
    exclude, mask = frozenset(exclude), frozenset(mask)
    for name in exclude | mask:
        if name not in names:
            raise ImproperlyConfigured(
                f"The audit trail cannot exclude or mask {name!r} of {model._meta.label}, which"
                f" has no such field.{_suggestion(name, names)}"
            )
    secrets = {name for name in names if name.endswith(SECRET_ENDINGS)}
    _audited[model] = Audited(model, exclude, mask | secrets)
    forget_what_was_derived()
    saves.make_atomic(model)
    receivers.connect(model)


def forget_what_was_derived() -> None:
    """Work out anew what each model records, after the list of audited models has changed."""
    for cached in (covering, fields_of, many_to_many_of, links_of):
        cached.cache_clear()


def register_settings() -> None:
    """Audit the models that ``AUDITED_MODELS`` lists and that no code has registered."""
    labels: Any = getattr(settings, "AUDITED_MODELS", [])
    if isinstance(labels, str):
        raise ImproperlyConfigured(
            f"AUDITED_MODELS is the text {labels!r}; it must be a list of labels,"
            f" for example [{labels!r}]."
        )
    for label in labels:
        if _concrete(label) not in _audited:
            register(label)


def audited_models() -> list[type[Model]]:
    """List the models that are audited, in the order of registration."""
    return list(_audited)


def audited_exactly(sender: type[Model]) -> Audited | None:
    """Return how the very table of a model is audited; None when it is not."""
    return _audited.get(sender._meta.concrete_model or sender)


@cache
def covering(sender: type[Model]) -> tuple[Audited, ...]:
    """Return what is audited of a row of a model: the table of a parent before its child's."""
    return tuple(_audited[base] for base in reversed(sender.__mro__) if base in _audited)


@cache
def fields_of(audited: Audited) -> tuple[Field, ...]:
    """Return the columns that entries of a model record.

    The key is the entry's ``object_id``; the columns of a parent that is
    audited itself belong to the entries of the parent.
    """
    return tuple(
        field
        for field in audited.model._meta.concrete_fields
        if not field.primary_key and not field.generated and _own(audited, field)
    )


@cache
def many_to_many_of(audited: Audited) -> tuple[ManyToManyField, ...]:
    """Return the many-to-many fields that entries of a model record."""
    return tuple(field for field in audited.model._meta.many_to_many if _own(audited, field))


@cache
def links_of(through: type[Model]) -> tuple[tuple[Audited, ManyToManyField], ...]:
    """Return the audited many-to-many fields, with their models, that a join table holds."""
    return tuple(
        (audited, field)
        for audited in _audited.values()
        for field in many_to_many_of(audited)
        if field.remote_field.through is through
    )


def object_key(model: type[Model], pk: Any) -> str:
    """Return a key as text, the same for every way in which code may have written it."""
    return str(model._meta.pk.to_python(pk))


def _own(audited: Audited, field: Field) -> bool:
    inherited = field.model is not audited.model and field.model in _audited
    return field.name not in audited.excluded and not inherited


def _concrete(model: type[Model] | str) -> type[Model]:
    """Find the model that has the table, or say in one sentence why there is none."""
    if not apps.models_ready:
        raise ImproperlyConfigured(
            f"{model} was registered for the audit trail before the models were loaded;"
            " call apps.audit.registry.register in AppConfig.ready()."
        )
    if isinstance(model, str):
        return _concrete(_named(model))
    concrete = model._meta.concrete_model
    if concrete is None or model._meta.abstract or model._meta.swapped:
        raise ImproperlyConfigured(
            f"The audit trail cannot record {model._meta.label}, which has no table:"
            f" it is {'swapped for ' + model._meta.swapped if model._meta.swapped else 'abstract'}."
        )
    if concrete._meta.label_lower == "audit.entry":
        raise ImproperlyConfigured("The audit trail cannot record itself: audit.Entry.")
    return concrete


def _named(label: str) -> type[Model]:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        known = [model._meta.label for model in apps.get_models()]
        raise ImproperlyConfigured(
            f"The audit trail cannot find the model {label!r}, which AUDITED_MODELS or a call of"
            f" register names.{_suggestion(label, known)}"
        ) from error


def _suggestion(given: str, known: Iterable[str]) -> str:
    close = get_close_matches(given, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
