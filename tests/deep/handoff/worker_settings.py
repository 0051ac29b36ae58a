"""The project's settings with the example app, for a worker and a producer under test."""

import os

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as PROJECT_APPS

INSTALLED_APPS = [*PROJECT_APPS, "apps.handoff.tests.example", "apps.handoff.tests.deep"]

# Of this run alone: other projects may use the same server.
QUEUE = os.environ["QUEUE"]

# The name of the queue is enough.
CELERY_QUEUE_PREFIX = ""

TASKS = {
    "default": {
        "BACKEND": "apps.handoff.backend.OutboxBackend",
        "QUEUES": ["default", QUEUE],  # type: ignore[dict-item]
        "OPTIONS": {"RETRIES": 2, "BACKOFF": 0.2, "LEASE": 1},  # type: ignore[dict-item]
    }
}

CELERY_TASK_DEFAULT_QUEUE = QUEUE

# Seconds until a killed process counts as lost.
CELERY_WORKER_LOST_WAIT = 0.2
