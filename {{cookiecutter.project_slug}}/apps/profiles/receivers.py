"""Receivers of the profiles module."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models.signals import post_save

from apps.core.dispatch import receiver
from apps.core.signals import bulk_created

from .models import Profile


@receiver(post_save, sender=settings.AUTH_USER_MODEL, include_subclasses=True)
def create_profile(
    sender: Any, instance: AbstractBaseUser, created: bool, using: str, **kwargs: Any
) -> None:
    """Create the profile of a new user, in the user's own transaction."""
    if created:
        Profile.objects.using(using).get_or_create(user_id=instance.pk)


@receiver(bulk_created, sender=settings.AUTH_USER_MODEL, include_subclasses=True)
def create_profiles(sender: Any, pks: tuple[Any, ...], using: str, **kwargs: Any) -> None:
    """Create the profiles of users who were created in bulk, in the same transaction."""
    Profile.objects.using(using).bulk_create(Profile(user_id=pk) for pk in pks)
