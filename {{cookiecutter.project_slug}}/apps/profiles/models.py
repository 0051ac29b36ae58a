"""Profiles: information that users give about themselves."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.urls import reverse

BATCH_SIZE = 1000


class ProfileManager(models.Manager["Profile"]):
    def for_user(self, user: AbstractBaseUser) -> "Profile":
        """Return the user's profile; create it when it is missing.

        Users from fixtures, and users from before the module, have no profile until the first
        call of this method.
        """
        database = self.db_manager(user._state.db)
        return database.get_or_create(user_id=user.pk)[0]

    def backfill(self) -> int:
        """Create the missing profiles in this database; return how many."""
        created = 0
        while users := self._users_without_profile():
            self.bulk_create(
                (self.model(user_id=user) for user in users),
                # A sign-up at the same time may have created the profile.
                ignore_conflicts=True,
            )
            created += len(users)
        return created

    def _users_without_profile(self) -> list[Any]:
        users = get_user_model()._base_manager.using(self.db).filter(profile__isnull=True)
        return list(users.values_list("pk", flat=True)[:BATCH_SIZE])


class Profile(models.Model):
    """Information that a user shows to others. Every user has exactly one profile."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile"
    )
    display_name = models.CharField(
        max_length=100, blank=True, help_text="Title of your page, instead of the username."
    )
    biography = models.TextField(max_length=2000, blank=True)
    website = models.URLField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[ProfileManager] = ProfileManager()

    def __str__(self) -> str:
        return self.display_name or self.user.get_username()

    def get_absolute_url(self) -> str:
        return reverse("profiles:detail", args=[self.user_id])
