"""The command ``celery -A apps.handoff worker`` loads this module."""

import logging
import os
import sys
from io import StringIO
from typing import Any, Final

import django
from celery import signals
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils.module_loading import autodiscover_modules
from kombu.exceptions import OperationalError

from .celery_app import app
from .limits import limit_connections, reset

logger = logging.getLogger(__name__)

REFUSED: Final = "The broker refuses the queue %s (%r). Delete it there, then restart the worker."

# Celery tries to publish a heartbeat until it succeeds, and ignores signals meanwhile. So a worker
# could not be stopped while its broker is frozen. Gossip is useless without heartbeats.
os.environ.setdefault("CELERY_WORKER_WITHOUT_HEARTBEAT", "1")
os.environ.setdefault("CELERY_WORKER_WITHOUT_GOSSIP", "1")

if not apps.apps_ready:
    # The first entry is the folder of the program ``celery``, not the folder of the project.
    sys.path.insert(0, str(settings.BASE_DIR))
    django.setup()


@signals.import_modules.connect(sender=app)
def find_jobs(**kwargs: Any) -> None:
    """Import the jobs of every app when a worker starts. A mistake in the settings ends it."""
    autodiscover_modules("tasks")
    call_command("check", stdout=StringIO())
    from .worker import register_jobs

    register_jobs()


@signals.celeryd_after_setup.connect
def leave_out_refused_queues(**kwargs: Any) -> None:
    """Do not read a queue that the broker refuses. The worker would end, and read no other."""
    from .relay import queue_at

    names, refused = list(app.amqp.queues.consume_from), dict[str, Exception]()
    connection: Any = app.connection_for_read()
    with connection:
        for name in names:
            try:
                with queue_at(connection, name) as queue:
                    queue.declare()
            except connection.channel_errors as error:
                refused[name] = error
            except (OperationalError, *connection.connection_errors):
                return  # the broker is away, and the worker tries again
    if len(refused) < len(names):  # else this is about the broker, and the worker ends
        for name, reason in refused.items():
            logger.error(REFUSED, name, reason)
            app.amqp.queues.deselect([name])


@signals.setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """Keep the logging of the settings. Celery sets up no logging if this signal has a receiver."""


@signals.worker_init.connect
def limit_worker(**kwargs: Any) -> None:
    """Let the worker notice soon that a database is gone. Its processes then connect again."""
    limit_connections()
    connections.close_all()


@signals.worker_process_init.connect
def forget_connections(**kwargs: Any) -> None:
    """Forget the inherited connections. If this process closed them, the worker would lose them."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None


@signals.task_prerun.connect
@signals.task_postrun.connect
def check_connections(sender: Any, **kwargs: Any) -> None:
    """Close connections to databases that are too old or broken, as before a request."""
    if not sender.request.is_eager:
        for connection in connections.all(initialized_only=True):
            reset(connection)
