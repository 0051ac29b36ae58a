"""The Celery app and its settings.

Every setting of Celery can be changed in ``config/settings.py`` under its own name with
``CELERY_`` before it, for example ``CELERY_WORKER_CONCURRENCY = 4``.
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
    """Return the settings of the app: the module's own, then those of the project.

    Raises:
        ImproperlyConfigured: when ``CELERY_BROKER_URL`` names no broker that is known.
    """
    project = {
        name.removeprefix("CELERY_").lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith("CELERY_")
    }
    # Some signs, such as the slash, mean something to Redis' transport.
    prefix = re.sub(r"[^\w.-]+", "-", project.pop("queue_prefix", ""))
    names = {name for tasks in settings.TASKS.values() for name in tasks.get("QUEUES", [])}
    names |= {"default", project.get("task_default_queue", "default")}
    own = {
        # Taken off the broker when it is done: a worker then holds no jobs back that another one
        # has time for. What a dead process leaves behind, the outbox sends again.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "task_default_queue": "default",
        # Other projects may use the same server. Here and for ``-Q`` a queue has its short name.
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
    # Added to ours, not in place of them: a timeout must not go missing.
    options = broker["broker_transport_options"] | project.get("broker_transport_options", {})
    return own | project | broker | {"broker_transport_options": options}


# Read first, at once: Celery would go on with a broker of its own after an error in them.
configuration = celery_settings()
# Without Celery's own fix-up for Django, which closes connections before and after each job.
app = Celery("handoff", task_cls="apps.handoff.worker:HandedOffTask", fixups=[])
app.conf.update(configuration)
