"""The record of a welcome mail: with it, a user gets exactly one."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

# No mail server takes this long to answer, so the process of an older claim has died. A backend
# that repeats failed jobs should still do so after this time.
CLAIM_EXPIRES_AFTER = timedelta(minutes=10)

# After this time the module gives up on an address that takes no mail, as mail servers do.
OWED_FOR = timedelta(days=7)


class WelcomeQuerySet(models.QuerySet["Welcome"]):
    def owed(self) -> "WelcomeQuerySet":
        """The welcomes that are neither sent nor given up."""
        return self.filter(sent_at__isnull=True, owed_since__gt=timezone.now() - OWED_FOR)

    def due(self) -> "WelcomeQuerySet":
        """The welcomes that are owed and that no job is sending at the moment."""
        expired = timezone.now() - CLAIM_EXPIRES_AFTER
        return self.owed().filter(Q(claimed_at__isnull=True) | Q(claimed_at__lt=expired))

    def claim(self, pk: int) -> bool:
        """Claim a due welcome, so that no other job sends it too; False when it is not due.

        One UPDATE decides. Of two jobs that run at once, only one gets the row.
        """
        return self.due().filter(pk=pk).update(claimed_at=timezone.now()) == 1


class Welcome(models.Model):
    """A user's welcome mail. It is owed from the sign-up until it is sent or given up.

    ``owed_since`` is None while the user has no address. ``language`` is the one that
    was active at sign-up; ``attempts`` counts failures; ``last_error`` is the latest of them, as
    Python writes it.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    language = models.CharField(max_length=20, blank=True)
    owed_since = models.DateTimeField(default=timezone.now, null=True, editable=False)
    claimed_at = models.DateTimeField(null=True, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, editable=False)

    objects = WelcomeQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Welcome to {self.user.get_username()}"
