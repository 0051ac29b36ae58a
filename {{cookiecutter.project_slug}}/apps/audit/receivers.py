"""Receivers that run when a database is connected and when it is migrated."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate

from apps.core.dispatch import receiver

from . import context, lineage, triggers


def tell_triggers_who_acts(sender: Any, *, connection: Any, **kwargs: Any) -> None:
    """Let the triggers of a connection know who acts."""
    context.attach(connection)


# Without the kit, which times the receivers of a request: a connection may be made at any time.
connection_created.connect(tell_triggers_who_acts, dispatch_uid=f"{__name__}.tell_triggers")


@receiver(pre_migrate, mutable=False)
def read_plan(sender: Any, *, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Remember what the migrations will rename. A flush sends this signal, too, with no plan."""
    if sender.label == "audit" and "plan" in kwargs:
        lineage.plan(using, kwargs["plan"], kwargs["apps"])


@receiver(post_migrate, mutable=False)
def install_triggers(sender: Any, *, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Give the tables the triggers that they should have now; a flush changes none."""
    if sender.label == "audit" and "plan" in kwargs:
        triggers.install(connections[using])
