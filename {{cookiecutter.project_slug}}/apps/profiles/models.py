"""The profile: what a person tells about themselves."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.urls import reverse

BATCH_SIZE = 1000


class ProfileManager(models.Manager["Profile"]):
    def for_user(self, user: AbstractBaseUser) -> "Profile":
        """Return the user's profile, created now when there is none.

        Users that come from fixtures or from before the module have no profile until they are
        first asked for one.
        """
        database = self.db_manager(user._state.db)
        return database.get_or_create(user_id=user.pk)[0]

    def backfill(self) -> int:
        """Create the profiles that are missing in this database; return how many."""
        created = 0
        while users := self._users_without_profile():
            self.bulk_create(
                (self.model(user_id=user) for user in users),
                # A sign-up at the same moment may have been quicker.
                ignore_conflicts=True,
            )
            created += len(users)
        return created

    def _users_without_profile(self) -> list[Any]:
        users = get_user_model()._base_manager.using(self.db).filter(profile__isnull=True)
        return list(users.values_list("pk", flat=True)[:BATCH_SIZE])


class Profile(models.Model):
    """What a user shows to others; every user has exactly one."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile"
    )
    display_name = models.CharField(
        max_length=100, blank=True, help_text="Heads your page, instead of the username."
    )
    biography = models.TextField(max_length=2000, blank=True)
    website = models.URLField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[ProfileManager] = ProfileManager()

    def __str__(self) -> str:
        return self.display_name or self.user.get_username()

    def get_absolute_url(self) -> str:
        return reverse("profiles:detail", args=[self.user_id])
