"""Which models are audited, and how: ``AUDITED_MODELS`` in the settings, ``register`` in code."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    DB_CASCADE,
    DB_SET_DEFAULT,
    DB_SET_NULL,
    CompositePrimaryKey,
    Field,
    ForeignKey,
    ManyToManyField,
    Model,
)

from .fields import key_type

# The values of fields whose names have one of these words never reach the trail.
SECRETS: Final = (
    *("password", "passwd", "pwd", "passphrase", "secret", "token", "apikey", "api_key"),
    *("private_key", "access_key", "signing_key", "session_key", "otp", "recovery_code"),
    *("credential", "pin"),
)
SECRET: Final = re.compile(rf"(?:^|[_\d])(?:{'|'.join(SECRETS)})s?(?:[_\d]|$)")
# Where a word begins in a name such as userPassword or HTTPToken.
WORD: Final = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# The fields that usually say what an object is called, the best first.
NAMES: Final = ("name", "title", "username", "label", "slug", "subject", "email")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for when a model was registered; None when nothing was said."""

    exclude: frozenset[str] | None
    mask: frozenset[str]
    name: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """A model on whose rows the trail keeps entries, and the fields to leave out or to mask.

    ``name`` is the field that says what an object is called; None for none.
    """

    model: type[Model]
    excluded: frozenset[str]
    masked: frozenset[str]
    name: Field | None


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """What a row of a join table is: a link of a many-to-many field, recorded on who has the field.

    ``source`` and ``target`` are the foreign keys of the row.
    """

    audited: Audited
    field: ManyToManyField
    through: type[Model]
    source: ForeignKey
    target: ForeignKey

    @property
    def may_lack_an_end(self) -> bool:
        """Whether a row can be no link yet, or no longer, because a foreign key is NULL."""
        return self.source.null or self.target.null


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """What a row of one table means to the trail.

    ``audited`` says how the row itself is recorded, None for not at all, and
    ``links`` of which many-to-many fields it is a link.
    """

    audited: Audited | None
    links: tuple[Link, ...]


_registered: Final[dict[type[Model], Options]] = {}
# What follows from it: parents are audited along with the models that inherit from them.
_audited: Final[dict[type[Model], Audited]] = {}


def register(
    model: type[Model] | str,
    *,
    exclude: Iterable[str] | None = None,
    mask: Iterable[str] = (),
    name: str | None = None,
) -> None:
    """Audit a model from now on; call it in ``AppConfig.ready()``.

    Proxies of the model and models that inherit from it are recorded as this
    model. Parents with tables of their own hold columns of the model, so they are
    audited as well, and what is excluded or masked of these columns is so for all
    their rows. A second call replaces the options of the first.

    Args:
        model: a model or its label, ``"shop.Order"``; a proxy stands for its model.
        exclude: names of fields that are not recorded at all. By default
            ``last_login`` of a user model, which every login would record.
        mask: names of fields of which only the fact of a change is recorded,
            besides those whose names have one of the words in ``SECRETS``.
        name: the field that says what an object is called. By default the first
            of ``NAMES`` that the model has; none when that one is masked.

    Raises:
        ImproperlyConfigured: for an unknown model or field, a model without a
            table, the trail itself, keys that no text can stand for, links that
            are more than two keys, a name that is masked, or a call before the
            models are loaded.
    """
    model = _concrete(model)
    options = Options(
        None if exclude is None else _listed(model, "exclude", exclude),
        _listed(model, "mask", mask),
        None if name is None else next(iter(_listed(model, "name", [name]))),
    )
    for base in _with_parents(model):
        left_out = _audited[base].excluded if base in _audited else frozenset()
        _refuse_keys_without_text(base, left_out | (options.exclude or frozenset()))
    _registered[model] = options
    _audited.clear()
    for registered in _registered:
        for base in _with_parents(registered):
            _audited.setdefault(base, _audited_as(base))
    forget_what_was_derived()


def forget_what_was_derived() -> None:
    """Work out anew what each model records, after the list of audited models has changed."""
    for cached in (
        *(covering, fields_of, many_to_many_of, recorded_of),
        tables_that_matter,
    ):
        cached.cache_clear()


def register_settings() -> None:
    """Audit the models that ``AUDITED_MODELS`` names and that no code has registered.

    It is a list of labels, or maps each label to the options of ``register``.
    """
    models: Any = getattr(settings, "AUDITED_MODELS", [])
    if isinstance(models, str):
        raise ImproperlyConfigured(
            f"AUDITED_MODELS is the text {models!r}; it must be a list of labels,"
            f" for example [{models!r}]."
        )
    for label in models:
        options = models[label] if isinstance(models, Mapping) else {}
        if _concrete(label) in _registered:
            continue
        try:
            register(label, **options)
        except TypeError as error:
            raise ImproperlyConfigured(
                f"AUDITED_MODELS gives {label} the options {options!r}; it must map them, for"
                f" example {{{label!r}: {{'exclude': ['…'], 'mask': ['…'], 'name': '…'}}}}."
            ) from error


def audited_models() -> list[type[Model]]:
    """List the models that are audited, in the order of registration."""
    return list(_audited)


def recorded_models() -> list[type[Model]]:
    """List the models whose rows the trail follows: those that are audited, and their links."""
    fields = [field for audited in _audited.values() for field in many_to_many_of(audited)]
    links = [table for field in fields if (table := _table_of_links(field))]
    return list(dict.fromkeys([*_audited, *links]))


def user_field() -> Any:
    """Return the field with the names of users, which may be a parent's."""
    user: Any = get_user_model()
    return user._meta.get_field(user.USERNAME_FIELD)


@cache
def covering(sender: type[Model]) -> tuple[Audited, ...]:
    """Return what is audited of a row of a model: the table of a parent before its child's."""
    return tuple(_audited[base] for base in reversed(sender.__mro__) if base in _audited)


@cache
def fields_of(audited: Audited) -> tuple[Field, ...]:
    """Return the columns of the model's own table that its entries record.

    The key is the entry's ``object_id``; the columns of a parent belong to the
    entries of the parent.
    """
    return tuple(
        field
        for field in audited.model._meta.local_concrete_fields
        if not field.primary_key and not field.generated and field.name not in audited.excluded
    )


@cache
def many_to_many_of(audited: Audited) -> tuple[ManyToManyField, ...]:
    """Return the many-to-many fields that entries of a model record."""
    return tuple(
        field
        for field in audited.model._meta.local_many_to_many
        if field.name not in audited.excluded
    )


@cache
def recorded_of(model: type[Model]) -> Recorded | None:
    """Return what the rows of a model's own table mean to the trail; None for nothing."""
    concrete = model._meta.concrete_model
    links = tuple(
        _link(audited, field)
        for audited in _audited.values()
        for field in many_to_many_of(audited)
        if _table_of_links(field) is concrete
    )
    audited = _audited.get(concrete) if concrete else None
    return Recorded(audited, links) if audited or links else None


@cache
def tables_that_matter() -> frozenset[str]:
    """Return the tables whose rows are recorded, or whose deletion changes such rows."""
    tables = {model._meta.db_table for model in recorded_models()}
    by_the_database = (DB_CASCADE, DB_SET_NULL, DB_SET_DEFAULT)
    keys = [
        (field.model._meta.db_table, field.remote_field.model._meta.db_table)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_fields
        if field.remote_field and field.remote_field.on_delete in by_the_database
    ]
    while more := {parent for child, parent in keys if child in tables} - tables:
        tables |= more
    return frozenset(tables)


def _table_of_links(field: ManyToManyField) -> type[Model] | None:
    through: Any = field.remote_field.through
    concrete: type[Model] | None = through._meta.concrete_model
    return concrete


def _link(audited: Audited, field: ManyToManyField) -> Link:
    through: Any = field.remote_field.through
    source = through._meta.get_field(field.m2m_field_name())
    target = through._meta.get_field(field.m2m_reverse_field_name())
    return Link(audited, field, through, source, target)


def object_key(model: type[Model], pk: Any, using: str = DEFAULT_DB_ALIAS) -> str:
    """Return a key as the text that its column has; text that can be no key stays what it is."""
    field = model._meta.pk
    try:
        return str(field.get_db_prep_value(field.to_python(pk), connections[using], prepared=False))
    except (ValidationError, ValueError, TypeError):
        return str(pk)


def is_masked(model: type[Model], name: str) -> bool:
    """Whether the values of a field of a model stay out of the trail."""
    return any(name in audited.masked for audited in covering(model))


def is_secret(name: str) -> bool:
    """Whether a field is masked for its name alone."""
    return bool(SECRET.search(WORD.sub("_", name).lower()))


def _listed(model: type[Model], option: str, given: Iterable[str]) -> frozenset[str]:
    """Return the names that an option lists, or say which of them the model does not have."""
    if isinstance(given, str):
        raise ImproperlyConfigured(
            f"{option} of {model._meta.label} is the text {given!r} for the audit trail; it must"
            f" be a list of names of fields, for example [{given!r}]."
        )
    names = {field.name for field in (*model._meta.concrete_fields, *model._meta.many_to_many)}
    listed = frozenset(given)
    for name in listed - names:
        raise ImproperlyConfigured(
            f"The audit trail cannot take {option}={name!r} of {model._meta.label}, which"
            f" has no such field.{_suggestion(name, names)}"
        )
    return listed


def _with_parents(model: type[Model]) -> list[type[Model]]:
    """List the models whose tables hold columns of a model, itself first."""
    return [model, *(parent for parent in model._meta.all_parents if not parent._meta.proxy)]


def _audited_as(model: type[Model]) -> Audited:
    """Put together what was asked for a model, and for its columns by models that inherit them."""
    meta = model._meta
    names = {field.name for field in (*meta.local_concrete_fields, *meta.local_many_to_many)}
    excluded: set[str] = set()
    masked = set(filter(is_secret, names))
    for registered, options in _registered.items():
        if not issubclass(registered, model):
            continue
        masked |= options.mask
        if options.exclude is not None:
            excluded |= options.exclude
        elif issubclass(registered, AbstractBaseUser) and (
            registered is model or model not in _registered
        ):
            excluded.add("last_login")
    name = _name_of(model, masked | excluded)
    return Audited(model, frozenset(excluded & names), frozenset(masked & names), name)


def _name_of(model: type[Model], withheld: set[str]) -> Field | None:
    """Return the field that says what an object is called, if the trail may hold its values."""
    columns = {field.name: field for field in model._meta.local_concrete_fields}
    asked = [
        options.name
        for registered, options in _registered.items()
        if issubclass(registered, model) and options.name in columns
    ]
    names = [name for name in asked or NAMES if name in columns]
    return columns[names[0]] if names and names[0] not in withheld else None


def _refuse_keys_without_text(model: type[Model], excluded: frozenset[str]) -> None:
    """Say which key of a model, or of its links, the trail could not name."""
    if isinstance(model._meta.pk, CompositePrimaryKey) or key_type(model._meta.pk) is None:
        raise ImproperlyConfigured(
            f"The audit trail cannot record {model._meta.label}, whose key is a"
            f" {type(model._meta.pk).__name__}. It knows whole numbers, text and UUIDs,"
            " for example models.BigAutoField(primary_key=True)."
        )
    for field in model._meta.local_many_to_many:
        why = "" if field.name in excluded else _obstacle(field)
        if why:
            raise ImproperlyConfigured(
                f"The audit trail cannot record {field.name!r} of {model._meta.label}, whose links"
                f" {why}. Leave it out, for example with"
                f" register({model._meta.label!r}, exclude=[{field.name!r}])."
            )


def _obstacle(field: Any) -> str:
    """Say why the rows of a join table cannot be recorded as links; empty when they can."""
    if not isinstance(field, ManyToManyField):
        return f"are those of a {type(field).__name__} and no plain many-to-many field"
    through: Any = field.remote_field.through
    ends: list[Any] = [
        through._meta.get_field(name)
        for name in (field.m2m_field_name(), field.m2m_reverse_field_name())
    ]
    if not all(end.target_field.primary_key for end in ends):
        return "name objects by another field than their key"
    if isinstance(through._meta.pk, CompositePrimaryKey):
        return "have a key of several columns"
    if any(end.model is not _table_of_links(field) for end in ends):
        return "stand in the table of a model that their own inherits from"
    others = {*through._meta.local_concrete_fields} - {through._meta.pk, *ends}
    if through._meta.auto_created and others:
        return f"hold {min(other.name for other in others)!r} besides the two keys"
    return ""


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
    if concrete._meta.app_label == "audit":
        raise ImproperlyConfigured(f"The audit trail cannot record itself: {concrete._meta.label}.")
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
