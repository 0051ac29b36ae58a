"""The Celery app, its settings and its worker: ``celery -A apps.handoff worker`` loads this module.

``config/settings.py`` can change each setting of Celery. ``CELERY_`` is added before its name, for
example ``CELERY_WORKER_CONCURRENCY = 4``.
"""

import os
import re
import sys
from contextlib import suppress
from typing import Any, Final

import django
from celery import Celery, signals
from django.apps import apps
from django.conf import settings
from django.db import close_old_connections, connections
from django.utils.module_loading import autodiscover_modules
from kombu import Exchange, Queue
from kombu.transport import memory

from apps.core.periodic import periodic_jobs

from .broker import ONE_TRY, PATIENCE, broker_url
from .limits import limit_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Celery tries to publish a heartbeat until it succeeds, and ignores signals meanwhile. So a worker
# could not be stopped while its broker is frozen. Gossip is useless without heartbeats.
os.environ.setdefault("CELERY_WORKER_WITHOUT_HEARTBEAT", "1")
os.environ.setdefault("CELERY_WORKER_WITHOUT_GOSSIP", "1")

# Seconds between two looks for messages in an idle worker, if its own memory is the broker.
POLL: Final = 0.05


class Transport(memory.Transport):
    """A broker that needs no installation: kombu's ``memory``, read by the loop of the worker.

    Messages that are lost with the process are sent again from the outbox. Without an event loop,
    the processes of a worker share one queue and its lock. If a process were killed while it
    holds the lock, all others would stop for ever.
    """

    implements = memory.Transport.implements.extend(asynchronous=True)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take messages out in intervals, and after each job."""

        def take() -> None:
            with suppress(TimeoutError):
                while True:
                    self.drain_events(connection, timeout=0)

        loop.on_tick.add(take)
        loop.call_repeatedly(POLL, take)


def celery_settings() -> dict[str, Any]:
    """Return the settings of the app. Settings of the project replace those of the module.

    Raises:
        ImproperlyConfigured: if ``CELERY_BROKER_URL`` names no known broker.
    """
    project = {
        name.removeprefix("CELERY_").lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith("CELERY_")
    }
    # Some characters, such as the slash, have a meaning in kombu's transport for Redis.
    prefix = re.sub(r"[^\w.-]+", "-", project.pop("queue_prefix", ""))
    names = {name for tasks in settings.TASKS.values() for name in tasks.get("QUEUES", [])}
    names |= {"default", project.get("task_default_queue", "default")}
    own = {
        # A message is acknowledged when its job is done. So a worker reserves no jobs that
        # another worker could run. The outbox sends jobs of dead processes again.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "task_default_queue": "default",
        # Other projects may use the same server. ``-Q`` takes the name without the prefix.
        "task_queues": [
            Queue(prefix + name, Exchange(prefix + name), routing_key=prefix + name, alias=name)
            for name in sorted(names)
        ],
        "task_create_missing_queues": False,
        "control_exchange": f"{prefix}celery",
        "event_exchange": f"{prefix}celeryev",
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
    }
    scheme = broker_url().scheme
    options: dict[str, Any] = dict(ONE_TRY)
    if scheme.startswith("redis"):
        options |= {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    elif scheme.startswith("amqp"):
        options |= {"read_timeout": PATIENCE, "write_timeout": PATIENCE}
    in_memory = scheme == "memory"
    address = "localhost" if in_memory else settings.CELERY_BROKER_URL
    broker = {
        # Celery prefers its environment variable to broker_url, but not to these two.
        "broker_read_url": address,
        "broker_write_url": address,
        "broker_transport": "apps.handoff.celery:Transport" if in_memory else None,
        "broker_connection_timeout": PATIENCE,
        # The project's options are added to ours. Without our timeouts the worker could hang.
        "broker_transport_options": options | project.get("broker_transport_options", {}),
    }
    return own | project | broker


# Settings are read here, not by Celery. After an error in them it would use another broker.
configuration = celery_settings()
# Celery's fix-up for Django is left out. It closes database connections before and after each job.
app = Celery("handoff", task_cls="apps.handoff.worker:HandedOffTask", fixups=[])
app.conf.update(configuration)

if not apps.apps_ready:
    # The first entry is the folder of the program ``celery``, not the folder of the project.
    sys.path.insert(0, str(settings.BASE_DIR))
    django.setup()


@signals.import_modules.connect(sender=app)
def find_jobs(**kwargs: Any) -> None:
    """Import the jobs of every app when a worker starts."""
    autodiscover_modules("tasks")
    periodic_jobs()  # a worker runs no system checks, and this refuses a mistake in PERIODIC
    from .worker import register_jobs

    register_jobs()


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
        close_old_connections()
