"""The project's own user model, so that it can grow."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models, router, transaction
from django.db.models.functions import Lower

from apps.core.bulk import BulkSignalsQuerySet


class UserManager(DjangoUserManager["User"]):
    """Creates users one by one or in bulk, and sends signals for both."""

    def get_queryset(self) -> BulkSignalsQuerySet["User"]:
        return BulkSignalsQuerySet(self.model, using=self._db)


class User(AbstractUser):
    """A person who can log in."""

    # The address that a mailed link has confirmed. Only while it equals ``email``, mail is sent.
    confirmed_email = models.EmailField(blank=True, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(Lower("username"), name="accounts_user_one_username"),
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="accounts_user_one_email",
                violation_error_message="A user with that email address already exists.",
            ),
        ]

    def save(self, *, using: str | None = None, **options: Any) -> None:
        """Save the user and the writes of receivers in one transaction.

        Without this, Django would commit the user before it sends ``post_save``.
        """
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(using=using, **options)
