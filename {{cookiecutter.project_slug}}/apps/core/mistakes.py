"""Mistakes in a connection that Django accepts and that fail later, or never run."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps import AppConfig, apps
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.signals import got_request_exception, request_finished, setting_changed
from django.db.backends.signals import connection_created
from django.db.models import Model
from django.db.models import signals as django_signals
from django.db.models.base import ModelBase
from django.db.models.signals import ModelSignal, m2m_changed, post_migrate, pre_migrate
from django.dispatch import Signal
from django.utils.functional import LazyObject, Promise
from django.utils.inspect import func_accepts_kwargs

from .bulk import BulkSignalsQuerySet
from .signals import bulk_created, bulk_deleted, bulk_updated

# What signals send besides ``sender`` and ``signal``.
SENT: Final[dict[Signal, str]] = {
    django_signals.pre_init: "args kwargs",
    django_signals.post_init: "instance",
    django_signals.pre_save: "instance raw using update_fields",
    django_signals.post_save: "instance created raw using update_fields",
    django_signals.pre_delete: "instance using origin",
    django_signals.post_delete: "instance using origin",
    m2m_changed: "instance action reverse model pk_set using raw",
    bulk_created: "instances pks using",
    bulk_updated: "pks fields using",
    bulk_deleted: "pks using",
    user_logged_in: "request user",
    user_logged_out: "request user",
    user_login_failed: "credentials request",
    request_finished: "",
    got_request_exception: "request",
    setting_changed: "setting value enter",
    connection_created: "connection",
    django_signals.class_prepared: "",
    pre_migrate: "app_config verbosity interactive using",
    post_migrate: "app_config verbosity interactive using",
}
# What Django sends of the tables that it makes for links.
OF_LINKS: Final = (m2m_changed, django_signals.pre_init, django_signals.post_init)


def of_function(function: Callable[..., Any], signal: Signal, after_commit: bool) -> Iterator[str]:
    """Yield why the signal could not call the function."""
    synchronous = after_commit or isinstance(signal, ModelSignal)
    if synchronous and inspect.iscoroutinefunction(function):
        yield (
            "is async, so it cannot wait for the commit or listen to a model. Make it a plain"
            " function and hand the work off to a job."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "is a generator, so a call of it runs nothing. Take the yield out."
    if not func_accepts_kwargs(function):
        yield "must accept **kwargs: signals may gain arguments."
    # As it is called: a decorator may well give the function inside it more.
    signature = inspect.signature(function, follow_wrapped=False)
    parameters = signature.parameters.values()
    by_position = {each.name for each in parameters if each.kind is each.POSITIONAL_ONLY}
    asked = set(signature.parameters) - {"self", "cls"}
    sent = set(SENT[signal].split()) if signal in SENT else asked
    if after_commit:
        sent = ({"pk", *sent} if "instance" in sent else sent) - {"instance", "instances"}
    try:
        signature.bind(**dict.fromkeys({"sender", "signal", *sent} - by_position))
    except TypeError as error:
        names = ", ".join(["sender", *sorted(sent)])
        known = f" The signal sends {names}." if signal in SENT else ""
        later = " After the commit it is given pk instead of the instance." if after_commit else ""
        yield (
            f"cannot be called: {error}.{known}{later} Write def receive(sender, **kwargs), outside"
            " of a class."
        )


def of_sender(signal: Signal, sender: Any) -> Iterator[str]:
    """Yield why nothing of this kind sends the signal."""
    if isinstance(sender, LazyObject | Promise):
        yield (
            f"names {type(sender)} as its sender, but a signal goes by the very object. Name what"
            " it stands for, or a model by its 'app_label.Model'."
        )
    if signal in (pre_migrate, post_migrate):
        if sender is not None and not isinstance(sender, AppConfig):
            yield (
                f"names the sender {sender!r}, but migrations are told of app configurations. Write"
                " sender=self in ready(), or sender=apps.get_app_config('shop')."
            )
        elif sender and apps.models_ready and sender.models_module is None:
            yield (
                f"names {sender.name}, which has no models, and migrations tell of apps with models"
                " only. Name no sender, or an app that has some."
            )
    elif not isinstance(signal, ModelSignal):
        if isinstance(sender, str):
            yield (
                f"names its sender as the string {sender!r}. Only the signals of models, such as"
                " post_save, resolve strings; pass the sender itself."
            )
    elif sender is None:
        yield (
            "must name a sender, for example sender=settings.AUTH_USER_MODEL: without one it runs"
            " for every model and slows every deletion."
        )
    elif not is_model(sender) and not (isinstance(sender, str) and sender.count(".") == 1):
        yield (
            f"names {sender!r} as its sender, which is no model. Name one model or its"
            " 'app_label.Model'; for several connect a receiver to each."
        )


def of_model(signal: Signal, model: type[Model], include_subclasses: bool) -> Iterator[str]:
    """Yield why a model never sends the signal."""
    label, options = model._meta.label, model._meta
    if options.swapped:
        yield (
            f"names {label}, which {options.swapped} replaces in this project, so it never sends."
            f" Write sender=settings.{options.swappable}."
        )
    elif options.auto_created and isinstance(signal, ModelSignal) and signal not in OF_LINKS:
        yield f"names {label}, a table of links that Django makes. It sends m2m_changed instead."
    elif isinstance(signal, ModelSignal) and options.abstract and not include_subclasses:
        yield (
            f"names {label}, which is abstract and never sends. Name a model that inherits from it,"
            " or add include_subclasses=True for all of them."
        )
    elif signal in (bulk_created, bulk_updated, bulk_deleted) and not (
        include_subclasses or _tells_of_bulk_writes(model)
    ):
        yield (
            f"names {label}, which does not tell of bulk writes. Give the model a manager of"
            " apps.core.bulk: objects = BulkSignalsQuerySet.as_manager()."
        )


def of_links(signal: Signal, model: type[Model]) -> Iterator[str]:
    """Yield why a model is no table of links; only when all models are loaded."""
    fields = (field for each in apps.get_models() for field in each._meta.many_to_many)
    tables = (getattr(field.remote_field, "through", None) for field in fields)
    if signal is m2m_changed and not model._meta.auto_created and model not in tables:
        field = next((field.name for field in model._meta.many_to_many), "<field>")
        yield (
            f"names {model._meta.label}, but only the table of links sends m2m_changed. Write for"
            f" example sender={model.__name__}.{field}.through."
        )


def is_model(sender: Any) -> bool:
    """Say whether a sender is the class of a model."""
    return isinstance(sender, ModelBase) and sender is not Model


def _tells_of_bulk_writes(model: type[Model]) -> bool:
    managers = model._meta.managers
    return any(isinstance(each.get_queryset(), BulkSignalsQuerySet) for each in managers)
