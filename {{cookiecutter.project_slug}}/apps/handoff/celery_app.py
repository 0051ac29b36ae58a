"""The Celery app and its settings.

Every setting of Celery can be changed in ``config/settings.py`` under its own name with
``CELERY_`` before it, for example ``CELERY_WORKER_CONCURRENCY = 4``.
"""

import os
import sys
from typing import Any

from celery import Celery
from django.conf import settings
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from .broker import broker_settings

# The project's own kind of folder, in which no reader finds half a message.
TRANSPORT_ALIASES["filesystem"] = "apps.handoff.transport:Transport"

# Before the app is made: Celery looks here for whether it has to set Django up.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def celery_settings() -> dict[str, Any]:
    """Return the settings of the app: the module's own, then those of the project.

    Raises:
        ImproperlyConfigured: when ``CELERY_BROKER_URL`` names no broker that is known.
    """
    queues = {name for tasks in settings.TASKS.values() for name in tasks.get("QUEUES", [])}
    own = {
        # For Celery tasks that were not handed off: taken off the broker when they are done, so
        # those of a killed worker run again.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Counted as a failure too: else a job that kills its process would run for ever.
        "task_retry_on_worker_lost": True,
        # Late acknowledgement would hold jobs back from other processes that have time.
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "task_default_queue": "default",
        "task_queues": [
            Queue(name, Exchange(name), routing_key=name) for name in sorted({*queues, "default"})
        ],
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
    }
    project = {
        name.removeprefix("CELERY_").lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith("CELERY_")
    }
    broker = broker_settings()
    # Added to ours, not in place of them: a folder or a timeout must not go missing.
    options = broker["broker_transport_options"] | project.get("broker_transport_options", {})
    return own | project | broker | {"broker_transport_options": options}


# Read first, at once: Celery would go on with a broker of its own after an error in them.
configuration = celery_settings()
app = Celery("handoff", task_cls="apps.handoff.worker:HandedOffTask")
app.conf.update(configuration)
# The worker sees to connections itself; Celery would close them before and after each job.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize
