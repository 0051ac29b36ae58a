"""Mistakes of receivers that Django accepts: they fail later, or never run."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps import AppConfig, apps
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.signals import got_request_exception, request_finished, setting_changed
from django.db.backends.signals import connection_created
from django.db.models import Model
from django.db.models import signals as django_signals
from django.db.models.signals import ModelSignal, m2m_changed, post_migrate, pre_migrate
from django.dispatch import Signal
from django.utils.functional import LazyObject, Promise
from django.utils.inspect import func_accepts_kwargs

from .bulk import BulkSignalsQuerySet
from .signals import bulk_created, bulk_deleted, bulk_updated

# The arguments that a signal sends besides ``sender`` and ``signal``.
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
# The signals that the table of a many-to-many field sends, when Django makes it.
SENT_BY_LINKS: Final = (m2m_changed, django_signals.pre_init, django_signals.post_init)


def of_function(function: Callable[..., Any], signal: Signal, after_commit: bool) -> Iterator[str]:
    """Yield why the signal cannot call the function."""
    is_sync = after_commit or isinstance(signal, ModelSignal)
    if is_sync and inspect.iscoroutinefunction(function):
        yield "is async and cannot wait for the commit or listen to a model; write def instead."
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "is a generator, so a call runs nothing; take the yield out."
    if not func_accepts_kwargs(function):
        yield "must accept **kwargs, because signals may gain arguments."
    # A decorator may give the function inside it more arguments.
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
        known = f"; the signal sends {names}" if signal in SENT else ""
        later = "; after the commit it gets pk instead of the instance" if after_commit else ""
        example = "def receive(sender, **kwargs), outside of a class"
        yield f"cannot be called: {error}{known}{later}; write {example}."


def of_sender(signal: Signal, sender: Any) -> Iterator[str]:
    """Yield why no such sender sends the signal."""
    if isinstance(sender, LazyObject | Promise):
        yield f"names a lazy object, {type(sender)}, which never sends; name the object behind it."
    if signal in (pre_migrate, post_migrate):
        if sender is not None and not isinstance(sender, AppConfig):
            yield f"names {sender!r}, which is no app; write sender=apps.get_app_config('shop')."
        elif sender and apps.models_ready and sender.models_module is None:
            yield f"names {sender.name}, which has no models and so never sends; name another app."
    elif not isinstance(signal, ModelSignal):
        if isinstance(sender, str):
            yield f"names the string {sender!r}, which only model signals accept; name the sender."
    elif sender is None:
        yield "must name a sender, or it runs for every model: sender=settings.AUTH_USER_MODEL."
    elif not is_model(sender) and not (isinstance(sender, str) and sender.count(".") == 1):
        yield f"names {sender!r}, which is no model; name one, or its label such as 'shop.Order'."


def of_model(signal: Signal, model: type[Model], include_subclasses: bool) -> Iterator[str]:
    """Yield why a model never sends the signal."""
    label, options = model._meta.label, model._meta
    is_bulk = signal in (bulk_created, bulk_updated, bulk_deleted)
    opted_in = (isinstance(each.get_queryset(), BulkSignalsQuerySet) for each in options.managers)
    if options.swapped:
        remedy = f"write sender=settings.{options.swappable}"
        yield f"names {label}, which {options.swapped} replaces; {remedy}."
    elif options.auto_created and isinstance(signal, ModelSignal) and signal not in SENT_BY_LINKS:
        yield f"names {label}, the table of a many-to-many field; it sends m2m_changed instead."
    elif isinstance(signal, ModelSignal) and options.abstract and not include_subclasses:
        yield f"names {label}, which is abstract; name a child, or add include_subclasses=True."
    elif is_bulk and not include_subclasses and not any(opted_in):
        yield f"names {label}, which lacks the manager objects = BulkSignalsQuerySet.as_manager()."


def of_links(signal: Signal, model: type[Model]) -> Iterator[str]:
    """Yield why a model is no table of a many-to-many field, once all models are loaded."""
    fields = (field for each in apps.get_models() for field in each._meta.many_to_many)
    tables = (getattr(field.remote_field, "through", None) for field in fields)
    if signal is m2m_changed and not model._meta.auto_created and model not in tables:
        field = next((field.name for field in model._meta.many_to_many), "<field>")
        example = f"sender={model.__name__}.{field}.through"
        yield f"names {model._meta.label}, which never sends m2m_changed; write such as {example}."


def is_model(sender: Any) -> bool:
    """Return whether a sender is the class of a model."""
    return isinstance(sender, type) and issubclass(sender, Model) and sender is not Model
