"""Which models are audited, and how: ``AUDITED_MODELS`` in the settings, ``register`` in code."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import Field, ForeignKey, ManyToManyField, Model

from apps.core import modules

from .values import key_type, pointed_to

# The values of fields whose names have one of these words never reach the trail.
SECRET: Final = re.compile(
    r"(?:^|[_\d])(?:password|passwd|pwd|passphrase|secret|token|apikey|api_key|private_key"
    r"|access_key|signing_key|session_key|otp|recovery_code|credential|pin)s?(?:[_\d]|$)"
)
# Where a word begins in a name such as userPassword or HTTPToken.
WORD: Final = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# The fields that usually hold the name of an object, the best first.
NAMES: Final = ("name", "title", "username", "label", "slug", "subject", "email")
# The fields that say who the user is, in user models that inherit from Django's.
PERSONAL: Final = ("first_name", "last_name", "address")
BY_THE_DATABASE: Final = (models.DB_CASCADE, models.DB_SET_NULL, models.DB_SET_DEFAULT)

# The options that ``register`` was given for a model, each with the names of fields.
type Options = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """A model on whose rows the trail keeps entries.

    ``fields`` are the recorded columns of the model's table, without the key. ``many`` are its
    many-to-many fields. ``masked`` names the fields whose values are left out. ``name`` is the
    field with the name of an object. ``personal`` names the fields that are forgotten with a
    person.
    """

    model: type[Model]
    fields: tuple[Field, ...]
    many: tuple[ManyToManyField, ...]
    masked: frozenset[str]
    name: Field | None
    personal: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """How a row of a join table, with two foreign keys, is recorded: on the object of the source.

    ``name`` is that of the many-to-many field. A table can hold the links of several fields.
    """

    audited: Audited
    name: str
    source: ForeignKey
    target: ForeignKey


_registered: Final[dict[type[Model], Options]] = {}


def register(
    model: type[Model] | str,
    *,
    exclude: Iterable[str] | None = None,
    mask: Iterable[str] = (),
    name: str | None = None,
    personal: Iterable[str] | None = None,
) -> None:
    """Audit a model from now on; call it in ``AppConfig.ready()``.

    Parents that hold columns of the model in a separate table are audited as well. A second call
    replaces the options of the first.

    Args:
        model: a model or its label, ``"shop.Order"``; a proxy means its model.
        exclude: fields that are not recorded, by default ``last_login`` of a user model.
        mask: fields of which only the fact of a change is recorded, besides secret ones.
        name: the field with the name of an object, by default the first of ``NAMES``.
        personal: fields that are forgotten with a person, by default those that the app's
            configuration lists, and the names and the address of a user model.

    Raises:
        ImproperlyConfigured: for an unknown model or field, or one that cannot be recorded.
        AppRegistryNotReady: before the models are loaded.
    """
    model = _concrete(model)
    named = None if name is None else [name]
    given = {"exclude": exclude, "mask": mask, "name": named, "personal": personal}
    options = {
        each: _listed(model, each, names) for each, names in given.items() if names is not None
    }
    for base in _with_parents(model):
        _refuse(_audited_as(base, _registered | {model: options}))
    _registered[model] = options
    forget_what_was_derived()


def register_settings() -> None:
    """Audit the models of ``AUDITED_MODELS``, a list or mapping, that no code has registered."""
    listed: Any = getattr(settings, "AUDITED_MODELS", [])
    _refuse_text(listed, "AUDITED_MODELS", "labels")
    for label in listed:
        options = listed[label] if isinstance(listed, Mapping) else {}
        if _concrete(label) in _registered:
            continue
        try:
            register(label, **options)
        except TypeError as error:
            raise ImproperlyConfigured(
                f"AUDITED_MODELS gives {label} the options {options!r}: {error}."
                " Give it, for example, {'mask': ['email'], 'name': 'title'}."
            ) from error


def forget_what_was_derived() -> None:
    """Empty the caches, after the list of audited models has changed."""
    for cached in (audited_models, links, recorded, covering, tables_that_matter, is_masked):
        cached.cache_clear()


@cache
def audited_models() -> dict[type[Model], Audited]:
    """Return how each audited model is recorded, in the order of registration."""
    bases = (base for model in _registered for base in _with_parents(model))
    return {base: _audited_as(base, _registered) for base in dict.fromkeys(bases)}


@cache
def links() -> list[Link]:
    """Return how the links of each many-to-many field of an audited model are recorded."""
    found = ((audited, many) for audited in audited_models().values() for many in audited.many)
    return [Link(audited, many.name, *_ends(many)) for audited, many in found]


@cache
def recorded() -> list[type[Model]]:
    """List the models whose rows are recorded: as objects, as links of objects, or both."""
    audited, joins = audited_models(), (link.source.model for link in links())
    # The rows of a join table may be objects of another model, too.
    tables = {model._meta.db_table for model in audited}
    return [*audited, *dict.fromkeys(one for one in joins if one._meta.db_table not in tables)]


@cache
def covering(sender: type[Model]) -> tuple[Audited, ...]:
    """Return the audited tables that hold a row of a model, a parent's before its child's."""
    audited = audited_models()
    return tuple(audited[base] for base in reversed(sender.__mro__) if base in audited)


@cache
def tables_that_matter() -> dict[str, Any]:
    """Map recorded tables, and those whose deletions change others, to the columns of their keys."""
    every = apps.get_models(include_auto_created=True)
    keys = [key.remote_field for model in every for key in model._meta.local_fields]
    found = [*recorded(), *(key.model for key in keys if key and key.on_delete in BY_THE_DATABASE)]
    return {model._meta.db_table: model._meta.pk.column for model in found}


def object_key(model: type[Model], pk: Any, using: str = DEFAULT_DB_ALIAS) -> str:
    """Return a key as its column writes it; a text that cannot be a key is not changed."""
    key = model._meta.pk
    try:
        return str(key.get_db_prep_value(key.to_python(pk), connections[using], prepared=False))
    except (ValidationError, ValueError, TypeError):
        return str(pk)


@cache
def is_masked(model: type[Model], name: str) -> bool:
    """Whether the values of a field of a model stay out of the trail."""
    return any(name in audited.masked for audited in covering(model))


def is_secret(name: str) -> bool:
    """Whether a field is masked for its name alone."""
    return bool(SECRET.search(WORD.sub("_", name).lower()))


def _with_parents(model: type[Model]) -> list[type[Model]]:
    """List the models whose tables hold columns of a model, itself first."""
    return [model, *(parent for parent in model._meta.all_parents if not parent._meta.proxy)]


def _audited_as(model: type[Model], registered: Mapping[type[Model], Options]) -> Audited:
    """Combine the options of a model with those that its heirs give for its columns."""
    columns = {column.name: column for column in model._meta.local_concrete_fields}
    many = model._meta.local_many_to_many
    heirs = {heir: said for heir, said in registered.items() if issubclass(heir, model)}
    excluded = {name for said in heirs.values() for name in said.get("exclude", ())}
    # The model's own options come before the defaults of its heirs.
    first = [heirs[model]] if model in heirs else heirs.values()
    if issubclass(model, AbstractBaseUser) and any("exclude" not in said for said in first):
        excluded.add("last_login")
    masked = {name for said in heirs.values() for name in said["mask"]}
    masked |= {one.name for one in (*columns.values(), *many) if _is_hidden(one, registered)}
    asked = [name for said in heirs.values() for name in said.get("name", ()) if name in columns]
    name = next((columns[name] for name in asked or NAMES if name in columns), None)
    # A generated field holds values of others.
    named = {one.name for one in (name, *getattr(name, "referenced_fields", ())) if one}
    return Audited(
        model,
        tuple(
            one
            for one in columns.values()
            if not (one.primary_key or one.generated or one.name in excluded)
        ),
        tuple(each for each in many if each.name not in excluded),
        frozenset(masked),
        None if named & (masked | excluded) else name,
        frozenset(name for heir, said in heirs.items() for name in _personal(heir, said)),
    )


def _is_hidden(field: Any, registered: Mapping[type[Model], Options]) -> bool:
    """Whether a field is secret, or holds the keys of objects whose key is secret or masked."""
    is_many = isinstance(field, ManyToManyField)
    key = pointed_to(field.remote_field.model._meta.pk if is_many else field)
    heirs = (heir for heir, said in registered.items() if key.name in said["mask"])
    secret = is_secret(field.name) or is_secret(key.name)
    return secret or any(issubclass(heir, key.model) for heir in heirs)


def _personal(model: type[Model], said: Options) -> frozenset[str]:
    """Return the personal fields of a model; some may have been removed from it."""
    label, named = model._meta.label, frozenset[str]()
    if "personal" in said:
        # The address of a login is no field of the model.
        return said["personal"].union(["address"] if issubclass(model, AbstractBaseUser) else ())
    if issubclass(model, AbstractBaseUser):
        called = {each.name for each in model._meta.fields if each.name in NAMES}
        name = getattr(model, "USERNAME_FIELD", "username")
        named = frozenset({name, model.get_email_field_name(), *PERSONAL, *called})
    return named.union(*(one.personal.get(label, ()) for one in modules.module_configs()))


def _refuse(audited: Audited) -> None:
    """Refuse a model whose key, or whose links, the trail cannot record."""
    label, pk = audited.model._meta.label, audited.model._meta.pk
    is_masked = pk.name in audited.masked
    if is_masked or key_type(pk) is None:
        kind = "masked" if is_masked else f"a {type(pk).__name__}"
        raise ImproperlyConfigured(
            f"The audit trail cannot record {label}, whose key is {kind}. It shows keys, which are"
            " numbers, text or UUIDs, for example models.BigAutoField(primary_key=True)."
        )
    for many in audited.many:
        if fault := _fault_of_links(many):
            raise ImproperlyConfigured(
                f"The audit trail cannot record {many.name!r} of {label}, whose links {fault}."
                f" Leave it out, for example with register({label!r}, exclude=[{many.name!r}])."
            )


def _fault_of_links(many: Any) -> str:
    """Say why the links of a field are more than rows of one table with the keys of two objects."""
    if not isinstance(many, ManyToManyField):
        return "are kept in a way of their own"
    through: Any = many.remote_field.through
    table, ends = through._meta.concrete_model, _ends(many)
    if any(end.model is not table for end in ends):
        return "inherit from another table"
    if any(end.foreign_related_fields != (end.related_model._meta.pk,) for end in ends):
        return "name objects by another field than their key"
    if key_type(table._meta.pk) is None:
        return "have a key that is no whole number, text or UUID"
    others = {*table._meta.local_concrete_fields} - {table._meta.pk, *ends}
    return "hold more than two keys" if table._meta.auto_created and others else ""


def _ends(many: Any) -> list[Any]:
    """Return the two foreign keys of the rows that are links."""
    field_of = many.remote_field.through._meta.get_field
    return [field_of(many.m2m_field_name()), field_of(many.m2m_reverse_field_name())]


def _listed(model: type[Model], option: str, given: Iterable[str]) -> frozenset[str]:
    """Return the names that an option lists, or say which of them the model does not have."""
    _refuse_text(given, f"{option} of {model._meta.label} for the audit trail", "names of fields")
    names = {field.name for field in (*model._meta.concrete_fields, *model._meta.many_to_many)}
    listed = frozenset(given)
    for name in listed - names:
        raise ImproperlyConfigured(
            f"The audit trail cannot take {option}={name!r} of {model._meta.label}, which"
            f" has no such field.{_suggestion(name, names)}"
        )
    return listed


def _refuse_text(given: Any, option: str, members: str) -> None:
    """Refuse a text in the place of a list."""
    if isinstance(given, str):
        raise ImproperlyConfigured(
            f"{option} is the text {given!r}; it must be a list of {members}, for example"
            f" [{given!r}]."
        )


def _concrete(model: type[Model] | str) -> type[Model]:
    """Find the model that has the table, or say in one sentence why there is none."""
    apps.check_models_ready()
    try:
        found: Any = apps.get_model(model) if isinstance(model, str) else model
    except (LookupError, ValueError) as error:
        known = [each._meta.label for each in apps.get_models()]
        raise ImproperlyConfigured(
            f"The audit trail cannot find the model {model!r}, which AUDITED_MODELS or a call of"
            f" register names.{_suggestion(str(model), known)}"
        ) from error
    meta = found._meta
    why = f"swapped for {meta.swapped}" if meta.swapped else "abstract" if meta.abstract else ""
    if why:
        raise ImproperlyConfigured(
            f"The audit trail cannot record {meta.label}, which has no table: it is {why}."
        )
    if meta.app_label == "audit":
        raise ImproperlyConfigured(f"The audit trail cannot record itself: {meta.label}.")
    concrete: type[Model] = meta.concrete_model
    return concrete


def _suggestion(given: str, known: Iterable[str]) -> str:
    close = get_close_matches(given, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
