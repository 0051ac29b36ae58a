"""Receivers of the welcome mail."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models.signals import post_save
from django.utils import timezone
from django.utils.translation import get_language

from apps.core.dispatch import receiver
from apps.core.jobs import hand_off, hand_off_many
from apps.core.signals import bulk_created

from .models import Welcome
from .tasks import send_welcome


@receiver(post_save, sender=settings.AUTH_USER_MODEL, include_subclasses=True)
def owe_welcome(
    sender: Any,
    instance: AbstractBaseUser,
    created: bool,
    using: str,
    update_fields: frozenset[str] | None,
    **kwargs: Any,
) -> None:
    """Note that a new user is owed a welcome mail, and send it after the commit.

    A user without an address gets it after the save that adds one.
    """
    field = instance.get_email_field_name()
    address = getattr(instance, field)
    welcome: Welcome | None = None
    if created:
        welcome = Welcome(user_id=instance.pk, language=get_language() or "")
    elif address and field in (update_fields or {field}):
        waiting = Welcome.objects.using(using).filter(user_id=instance.pk, owed_since=None)
        welcome = waiting.first()
    if welcome is None:  # no new address, or a user who waits for no mail
        return
    welcome.owed_since = timezone.now() if address else None
    welcome.save(using=using)
    if address:
        hand_off(send_welcome, welcome.pk, using=using)


@receiver(bulk_created, sender=settings.AUTH_USER_MODEL, include_subclasses=True)
def owe_welcomes(
    sender: Any, instances: tuple[AbstractBaseUser, ...], using: str, **kwargs: Any
) -> None:
    """Note that users created in bulk are owed a welcome mail, and send it after the commit."""
    language, now = get_language() or "", timezone.now()
    welcomes = Welcome.objects.using(using).bulk_create(
        Welcome(
            user_id=user.pk,
            language=language,
            owed_since=now if getattr(user, user.get_email_field_name()) else None,
        )
        for user in instances
    )
    owed = [(welcome.pk,) for welcome in welcomes if welcome.owed_since]
    hand_off_many(send_welcome, owed, using=using)
