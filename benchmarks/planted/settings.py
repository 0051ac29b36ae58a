"""The project's settings with this app, for every process of a run."""

import os

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as PROJECT_APPS
from config.settings import TASKS as PROJECT_TASKS

INSTALLED_APPS = [*PROJECT_APPS, "apps.planted"]

# Of this run alone: others may use the same server.
QUEUE = os.environ.get("LOAD_QUEUE", "default")

# The name of the queue is enough.
CELERY_QUEUE_PREFIX = ""

# Where jobs leave the effect that no transaction can take back.
NOTES = os.environ.get("LOAD_NOTES", os.devnull)

TASKS = {
    "default": {
        **PROJECT_TASKS["default"],
        "QUEUES": sorted({"default", QUEUE}),
        # A job that fails because a connection was cut must be tried again within the run.
        "OPTIONS": {"BACKOFF": 0.2, "LEASE": float(os.environ.get("LOAD_PATIENCE") or 30)},
    }
}

# Many short intervals, for ticks to come quickly, and nothing of the modules beside them.
TICKING = 25 if os.environ.get("LOAD_TICKS") else 0
PERIODIC = [(f"apps.planted.tasks.tick_{number}", 0.5) for number in range(TICKING)]

# Seconds until a killed process of the pool counts as lost.
CELERY_WORKER_LOST_WAIT = 0.5

# Redis gives back what a killed worker held after an hour, which no run can wait for.
if os.environ.get("CELERY_BROKER_URL", "").startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 15}
