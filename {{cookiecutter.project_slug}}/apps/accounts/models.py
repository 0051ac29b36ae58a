"""The user model: the project's own from the first migration on, so that it can grow."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import router, transaction

from apps.core.bulk import BulkSignalsQuerySet


class UserManager(DjangoUserManager["User"]):
    """Creates users one by one or in bulk; receivers hear both."""

    def get_queryset(self) -> BulkSignalsQuerySet["User"]:
        return BulkSignalsQuerySet(self.model, using=self._db)


class User(AbstractUser):
    """A person who can log in."""

    objects: ClassVar[UserManager] = UserManager()

    def save(self, *, using: str | None = None, **options: Any) -> None:
        """Save the user and what receivers write, or neither.

        Django commits a row before it sends ``post_save`` when no transaction is open. Inside of
        one this costs no statement; a receiver that fails there undoes the whole transaction, up
        to the ``atomic`` block that catches the exception.
        """
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(using=using, **options)
