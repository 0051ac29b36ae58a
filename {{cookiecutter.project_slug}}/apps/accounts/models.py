"""The user model: the project's own from the first migration on, so that it can grow."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models, router, transaction
from django.db.models import Q, Value
from django.db.models.functions import Lower, Replace

from apps.core.bulk import BulkSignalsQuerySet

# What people read as the same: 0 as O, and 1 and a capital I as a small L.
AS_READ = Replace(
    Replace(Replace(Lower("username"), Value("0"), Value("o")), Value("1"), Value("l")),
    Value("i"),
    Value("l"),
)


class UserManager(DjangoUserManager["User"]):
    """Creates users one by one or in bulk; receivers hear both."""

    def get_queryset(self) -> BulkSignalsQuerySet["User"]:
        return BulkSignalsQuerySet(self.model, using=self._db)


class User(AbstractUser):
    """A person who can log in. Mail, except the welcome, goes to a confirmed address only."""

    # The address that a link has confirmed. It counts for as long as it is the user's address.
    confirmed_email = models.EmailField(blank=True, default="", editable=False)

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                AS_READ,
                name="accounts_user_name_looks_unique",
                violation_error_message="A user with a username that looks the same already exists.",
            ),
            models.UniqueConstraint(
                Lower("email"),
                condition=~Q(email=""),
                name="accounts_user_email_unique",
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
