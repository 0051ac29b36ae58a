"""Periodic jobs, which ``PERIODIC`` in the settings lists with their intervals."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task
from django.utils.module_loading import import_string


def periodic_jobs() -> dict[str, tuple[Task, timedelta]]:
    """Return the jobs of ``PERIODIC`` and their intervals by path, the last of two for one path.

    Raises:
        ImproperlyConfigured: for an entry without a job or without an interval above 0.
    """
    found = {}
    for entry in settings.PERIODIC:
        try:
            path, seconds = entry
            job, interval = import_string(path), timedelta(seconds=seconds)
            if not isinstance(job, Task) or interval <= timedelta():
                raise ValueError("no job, or no interval above 0")
        except (ImportError, AttributeError, TypeError, ValueError, OverflowError) as error:
            raise ImproperlyConfigured(
                f"PERIODIC has {entry!r} ({error}); write the path of a job and its interval in"
                ' seconds, for example ("apps.orders.tasks.remind", 3600).'
            ) from error
        found[path] = (job, interval)
    return found


@register
def check_periodic_jobs(**kwargs: Any) -> list[CheckMessage]:
    """Report a mistake in ``PERIODIC`` before a command runs."""
    try:
        periodic_jobs()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="core.E001")]
    return []
