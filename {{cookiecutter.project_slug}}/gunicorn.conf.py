"""Gunicorn, the server of production. Started in this folder, ``gunicorn`` reads this file.

It listens on 127.0.0.1:8000, unless ``WEB_HOST`` names another address or ``PORT`` another port,
with as many processes as ``WEB_CONCURRENCY`` says, or else one, of ``WEB_THREADS`` threads each.
"""

import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# A statement of a request is stopped after so long, one of a command, such as a migration, is not.
os.environ.setdefault("PGOPTIONS", "-c statement_timeout=30s")

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import environment as env

wsgi_app = "config.wsgi"
worker_class = "gthread"
try:
    logconfig_dict: dict[str, Any] = deepcopy(settings.LOGGING)
    # Told a port only, Gunicorn would listen to every machine.
    host = env.read("WEB_HOST", env.hosts, ["127.0.0.1"], "127.0.0.1")[0]
    bind = f"{host}:{env.read('PORT', env.positive, 8000, '8000')}"
    workers = env.read("WEB_CONCURRENCY", env.positive, 1, "2")
    # More than clients that are slow or wait for the database are likely to hold at a time.
    threads = env.read("WEB_THREADS", env.positive, 16, "16")
except ImproperlyConfigured as error:
    sys.exit(f"Error: {error}")

# Longer than a proxy keeps its connections, which then never finds one closed.
keepalive = 75
# The heartbeat of a process is a file: in memory, since a slow disk would look like a dead process.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True
# Whether to believe a proxy is for BEHIND_PROXY alone to say.
forwarded_allow_ips = ""

# One log for all: the settings' own. The route stands there, since a path may hold secrets.
accesslog = "-"
access_log_format = "%(m)s %({route}e)s %(s)s %(M)sms"
handled_by_root = {"handlers": [], "propagate": True}
logconfig_dict["loggers"]["gunicorn.error"] = handled_by_root
logconfig_dict["loggers"]["gunicorn.access"] = handled_by_root
