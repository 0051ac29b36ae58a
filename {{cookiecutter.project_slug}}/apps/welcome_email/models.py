"""The record of a welcome: what makes sure that a user gets one, and only one."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

# Longer than any mail server takes to answer: a claim this old was left by a process that died.
CLAIM_EXPIRES_AFTER = timedelta(minutes=15)


class WelcomeQuerySet(models.QuerySet["Welcome"]):
    def due(self) -> "WelcomeQuerySet":
        """The welcomes that are not sent and that nobody is sending at the moment."""
        expired = timezone.now() - CLAIM_EXPIRES_AFTER
        return self.filter(
            Q(claimed_at__isnull=True) | Q(claimed_at__lt=expired), sent_at__isnull=True
        )

    def claim(self, pk: int) -> bool:
        """Take a due welcome, so that no one else sends it too; False when it is not due.

        One UPDATE decides: of two jobs that run at once, only one gets it.
        """
        return self.due().filter(pk=pk).update(claimed_at=timezone.now()) == 1


class Welcome(models.Model):
    """A user's welcome mail: owed from sign-up on, until it is sent.

    ``language`` is the one that was active at sign-up; ``attempts`` counts
    failures; ``last_error`` is the mail server's latest complaint.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    language = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    claimed_at = models.DateTimeField(null=True, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, editable=False)

    objects = WelcomeQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Welcome to {self.user.get_username()}"
