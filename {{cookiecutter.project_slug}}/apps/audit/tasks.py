"""The periodic jobs of the trail, in every database that has one."""

import logging
from datetime import timedelta

from django.conf import settings
from django.tasks import task
from django.utils import timezone

from apps.core.jobs import autocommit

from . import seals, triggers
from .models import Seal

logger = logging.getLogger(__name__)


@task
@autocommit
def seal() -> None:
    """Seal what is new, and note the last seal in the log, which is kept elsewhere."""
    for alias in triggers.trails():
        if sum(link.count for link in seals.seal(alias)):
            logger.info("Last seal in %s: %s", alias, Seal.objects.using(alias).last())


@task
@autocommit
def prune() -> None:
    """Remove entries older than ``AUDIT_KEPT_DAYS`` for good; None keeps all of them."""
    if settings.AUDIT_KEPT_DAYS is not None:
        cutoff = timezone.now() - timedelta(days=settings.AUDIT_KEPT_DAYS)
        for alias in triggers.trails():
            removed = seals.prune(seals.older_than(cutoff, using=alias))
            logger.info("Removed %d entries from before %s in %s.", removed, cutoff, alias)
