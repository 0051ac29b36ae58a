"""Receivers: of connections, of migrations, and of logins, if the user model is audited."""

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate

from apps.core.dispatch import receiver
from apps.core.limits import client_address, count

from . import context, lineage, registry, triggers
from .models import Entry
from .presentation import harmless

SECONDS: Final = 60
# Entries of failures in these seconds; the names of further ones are left out.
MOST_FAILURES: Final = 100
MOST_OF_A_NAME: Final = 200
MOST_OF_AN_ADDRESS: Final = 64


def tell_triggers_who_acts(sender: Any, *, connection: Any, **kwargs: Any) -> None:
    """Let the triggers of a connection know who acts."""
    context.attach(connection)


# Without the kit, which times the receivers of a request: a connection may be made at any time.
connection_created.connect(tell_triggers_who_acts, dispatch_uid=f"{__name__}.tell_triggers")


@receiver(pre_migrate, mutable=False)
def read_plan(sender: Any, **kwargs: Any) -> None:
    """Let the migrations note what they rename. A flush sends this signal, too, with no plan."""
    if sender.label == "audit" and "plan" in kwargs:
        lineage.plan(kwargs["plan"], kwargs["apps"])


@receiver(post_migrate, mutable=False)
def install_triggers(sender: Any, *, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Give the tables the triggers that they should have now; a flush changes none."""
    if sender.label == "audit" and "plan" in kwargs:
        triggers.install(connections[using])


@receiver(user_logged_in, mutable=False)
def record_login(sender: Any, *, request: Any, user: Any, **kwargs: Any) -> None:
    """Add an entry when a user has logged in."""
    _add(Entry.Action.LOGIN, request, user)


@receiver(user_logged_out, mutable=False)
def record_logout(sender: Any, *, request: Any, user: Any, **kwargs: Any) -> None:
    """Add an entry when a user logs out; an anonymous session has none."""
    if user is not None:
        _add(Entry.Action.LOGOUT, request, user)


@receiver(user_login_failed, mutable=False)
def record_failure(
    sender: Any, *, credentials: dict[str, Any], request: Any = None, **kwargs: Any
) -> None:
    """Add an entry when a login has failed; of many under one name only some are recorded."""
    model = get_user_model()
    name = credentials.get(model.USERNAME_FIELD) or credentials.get("username") or ""
    name = harmless(str(name)[:MOST_OF_A_NAME])[:MOST_OF_A_NAME] if _may_name(model) else ""
    failures, of = count("audit", name.casefold(), seconds=SECONDS), "failures"
    # The 1st, 2nd, 4th, 8th and so on get an entry.
    if failures.bit_count() == 1:
        failures_recorded = count("audit failures", seconds=SECONDS)
        if failures_recorded > MOST_FAILURES:
            name, of, failures = "", "entries left out", failures_recorded - MOST_FAILURES
        if failures.bit_count() == 1:
            _add(Entry.Action.FAILED_LOGIN, request, None, name, **{of: failures})


def _may_name(model: Any) -> bool:
    """Whether the trail may hold what users of a model log in with."""
    field = model._meta.get_field(model.USERNAME_FIELD)
    return any(
        (field in audited.fields or field.primary_key) and field.name not in audited.masked
        for audited in registry.covering(model)
    )


def _add(action: str, request: Any, user: Any, name: str = "", **more: int) -> None:
    """Add an entry of a user, or of a failure without one, to the database of the users."""
    # Not its type(): the user of a request is a lazy object.
    model = get_user_model() if user is None else user._meta.model
    if not (covering := registry.covering(model)):
        return
    using, key = router.db_for_write(model, instance=user), ""
    if user is not None:
        key = registry.object_key(model, user.pk, using)
        named = [one.name.attname for one in covering if one.name]
        name = str(getattr(user, named[-1]) or "")[:MOST_OF_A_NAME] if named else ""
    address = harmless(client_address(request)[:MOST_OF_AN_ADDRESS])[:MOST_OF_AN_ADDRESS]
    told = {"address": address} | more
    Entry(
        action=action,
        model_label=covering[-1].model._meta.label,
        object_id=key,
        object_repr=name,
        changes={each: {"old": None, "new": value} for each, value in told.items() if value},
        **context.who_acts(user, using),
    ).save(using=using)
