"""Receivers of the welcome mail."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models.signals import post_save
from django.utils.translation import get_language

from apps.core.dispatch import receiver
from apps.core.jobs import hand_off, hand_off_many
from apps.core.signals import bulk_created

from .models import Welcome
from .tasks import send_welcome


@receiver(post_save, sender=settings.AUTH_USER_MODEL, include_subclasses=True)
def owe_welcome(
    sender: Any, instance: AbstractBaseUser, created: bool, using: str, **kwargs: Any
) -> None:
    """Note that a new user is owed a welcome mail, and send it after the commit."""
    if not created or not getattr(instance, instance.get_email_field_name()):
        return
    welcome = Welcome.objects.using(using).create(
        user_id=instance.pk, language=get_language() or ""
    )
    hand_off(send_welcome, welcome.pk, using=using)


@receiver(bulk_created, sender=settings.AUTH_USER_MODEL, include_subclasses=True)
def owe_welcomes(
    sender: Any, instances: tuple[AbstractBaseUser, ...], using: str, **kwargs: Any
) -> None:
    """Note what users who were created in bulk are owed, and send it after the commit."""
    language = get_language() or ""
    welcomes = Welcome.objects.using(using).bulk_create(
        Welcome(user_id=user.pk, language=language)
        for user in instances
        if getattr(user, user.get_email_field_name())
    )
    hand_off_many(send_welcome, [(welcome.pk,) for welcome in welcomes], using=using)
