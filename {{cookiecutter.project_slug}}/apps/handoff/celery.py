"""Where ``celery -A apps.handoff worker`` finds the app, with all that a worker needs."""

from typing import Any

from celery.signals import import_modules, setup_logging
from django.utils.module_loading import autodiscover_modules

from .celery_app import app


@import_modules.connect(sender=app)
def find_jobs(**kwargs: Any) -> None:
    """Import the jobs of every app when a worker starts; Django has been set up by then."""
    autodiscover_modules("tasks")
    from .worker import register_jobs

    register_jobs()


@setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """Log as the settings say, in a worker as everywhere: Celery asks before it takes over."""
