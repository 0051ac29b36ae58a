"""The Celery app and its settings.

``config/settings.py`` can change each setting of Celery. ``CELERY_`` is added before its name, for
example ``CELERY_WORKER_CONCURRENCY = 4``.
"""

import os
import re
from typing import Any

from celery import Celery
from django.conf import settings
from kombu import Exchange, Queue

from .broker import broker_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


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
    broker = broker_settings()
    # The project's options are added to ours. Without our timeouts the worker could hang.
    options = broker["broker_transport_options"] | project.get("broker_transport_options", {})
    return own | project | broker | {"broker_transport_options": options}


# Settings are read here, not by Celery. After an error in them it would use another broker.
configuration = celery_settings()
# Celery's fix-up for Django is left out. It closes database connections before and after each job.
app = Celery("handoff", task_cls="apps.handoff.worker:HandedOffTask", fixups=[])
app.conf.update(configuration)
