"""The user model: the project's own from the first migration on, so that it can grow."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models, router, transaction
from django.db.models.functions import Lower

from apps.core.bulk import BulkSignalsQuerySet


class UserManager(DjangoUserManager["User"]):
    """Creates users one by one or in bulk; receivers hear both."""

    def get_queryset(self) -> BulkSignalsQuerySet["User"]:
        return BulkSignalsQuerySet(self.model, using=self._db)


class User(AbstractUser):
    """A person who can log in."""

    # The address that a link has confirmed: mail goes to a user while it is the user's address.
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
        """Save the user and what receivers write, or neither.

        Django commits a row before it sends ``post_save`` when no transaction is open. Inside of
        one this costs no statement; a receiver that fails there undoes the whole transaction, up
        to the ``atomic`` block that catches the exception.
        """
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(using=using, **options)
