"""Gunicorn, the server of production. Started in this folder, ``gunicorn`` reads this file.

It listens on 127.0.0.1:8000. ``WEB_HOST`` names another address, ``PORT`` another port.
``WEB_CONCURRENCY`` is the number of processes (1), ``WEB_THREADS`` the threads of each (16).
"""

import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Limits the statements of requests. Commands, such as migrations, have no limit.
os.environ.setdefault("PGOPTIONS", "-c statement_timeout=30s")

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import environment as env

wsgi_app = "config.wsgi"
worker_class = "gthread"
try:
    logconfig_dict: dict[str, Any] = deepcopy(settings.LOGGING)
    # With a port only, Gunicorn would listen to every machine.
    host = env.read("WEB_HOST", env.host, "127.0.0.1", "127.0.0.1")
    bind = f"{host}:{env.read('PORT', env.port, 8000, '8000')}"
    workers = env.read("WEB_CONCURRENCY", env.positive, 1, "2")
    # Clients that are slow or wait for the database are likely to hold fewer at a time.
    threads = env.read("WEB_THREADS", env.positive, 16, "16")
except ImproperlyConfigured as error:
    sys.exit(f"Error: {error}")

# Longer than a proxy keeps its connections, so a proxy never finds one closed.
keepalive = 75
# The heartbeat of a process is a file. In memory, because a slow disk looks like a dead process.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True
# Only BEHIND_PROXY decides whether to trust a proxy.
forwarded_allow_ips = ""

# One log for all, from the settings. It has the route, because a path may contain secrets.
accesslog = "-"
access_log_format = "%(m)s %({route}e)s %(s)s %(M)sms"
handled_by_root = {"handlers": [], "propagate": True}
logconfig_dict["loggers"]["gunicorn.error"] = handled_by_root
logconfig_dict["loggers"]["gunicorn.access"] = handled_by_root
