"""The Celery app and its settings.

``config/settings.py`` can change each setting of Celery. ``CELERY_`` is added before its name, for
example ``CELERY_WORKER_CONCURRENCY = 4``.
"""

import os
import re
from contextlib import suppress
from typing import Any, Final

from celery import Celery
from django.conf import settings
from kombu import Exchange, Queue
from kombu.transport import memory

from .broker import ONE_TRY, PATIENCE, broker_url

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

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
    """Return the settings of the app. Settings of the project replace those of the module."""
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
    broker = broker_settings()
    # The project's options are added to ours. Without our timeouts the worker could hang.
    options = broker["broker_transport_options"] | project.get("broker_transport_options", {})
    return own | project | broker | {"broker_transport_options": options}


def broker_settings() -> dict[str, Any]:
    """Return the settings of the connection to the broker; see ``celery_settings``."""
    scheme = broker_url().scheme
    options: dict[str, Any] = dict(ONE_TRY)
    if scheme.startswith("redis"):
        options |= {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    elif scheme.startswith("amqp"):
        options |= {"read_timeout": PATIENCE, "write_timeout": PATIENCE}
    in_memory = scheme == "memory"
    address = "localhost" if in_memory else settings.CELERY_BROKER_URL
    return {
        # Celery prefers its environment variable to broker_url, but not to these two.
        "broker_read_url": address,
        "broker_write_url": address,
        "broker_transport": "apps.handoff.celery_app:Transport" if in_memory else None,
        "broker_connection_timeout": PATIENCE,
        "broker_transport_options": options,
    }


# Settings are read here, not by Celery. After an error in them it would use another broker.
configuration = celery_settings()
# Celery's fix-up for Django is left out. It closes database connections before and after each job.
app = Celery("handoff", loader="app", task_cls="apps.handoff.worker:HandedOffTask", fixups=[])
app.conf.update(configuration)
# The row holds the result. With a backend for results, a caller would wait for one for ever.
app.backend_cls = "disabled"
# Without it, shared tasks would use another app in all threads but this one.
app.set_default()
