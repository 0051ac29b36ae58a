"""The user model: the project's own from the first migration on, so that it can grow."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person who can log in."""
