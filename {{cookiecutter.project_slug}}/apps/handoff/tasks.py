"""The jobs of the module itself."""

from django.tasks import task

from apps.core.jobs import autocommit

from .backend import outboxes
from .models import KEPT, Handoff


@task
@autocommit
def flush() -> int:
    """Delete the rows of jobs that were done long ago; return their number."""
    return sum(Handoff.objects.using(alias).flush(KEPT) for alias in outboxes())
