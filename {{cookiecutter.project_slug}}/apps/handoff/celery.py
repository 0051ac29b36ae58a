"""Where ``celery -A apps.handoff worker`` finds the app, with all that a worker needs."""

import os
import sys
from typing import Any

import django
from celery.signals import import_modules, setup_logging, worker_init, worker_process_init
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.utils.module_loading import autodiscover_modules

from apps.core.periodic import periodic_jobs

from .celery_app import app
from .limits import limit_connections

# Celery publishes a heartbeat until it succeeds, and hears no signal meanwhile: with a broker that
# froze a worker could not be stopped. Without heartbeats gossip tells nothing.
os.environ.setdefault("CELERY_WORKER_WITHOUT_HEARTBEAT", "1")
os.environ.setdefault("CELERY_WORKER_WITHOUT_GOSSIP", "1")

if not apps.ready:
    # The program ``celery`` has its own folder there, not that of the project.
    sys.path.insert(0, str(settings.BASE_DIR))
    django.setup()
# A worker runs no system checks: with a mistake in PERIODIC it does not start either.
periodic_jobs()


@import_modules.connect(sender=app)
def find_jobs(**kwargs: Any) -> None:
    """Import the jobs of every app when a worker starts."""
    autodiscover_modules("tasks")
    from .worker import register_jobs

    register_jobs()


@setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """Log as the settings say, in a worker as everywhere: Celery asks before it takes over."""


@worker_init.connect
def limit_worker(**kwargs: Any) -> None:
    """Let the worker notice soon that a database is gone; its processes open connections anew."""
    limit_connections()
    connections.close_all()


@worker_process_init.connect
def forget_connections(**kwargs: Any) -> None:
    """Leave the connections of the worker to it: what this process closed would end there."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None
