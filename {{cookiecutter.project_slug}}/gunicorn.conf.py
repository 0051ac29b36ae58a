"""Settings of Gunicorn, the server of production, which reads this file in its folder.

It listens on 127.0.0.1:8000, or on ``WEB_HOST`` and ``PORT``. ``WEB_CONCURRENCY`` is the number of
processes, and ``WEB_THREADS`` the number of threads of each.
"""

import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# PostgreSQL stops long statements of requests, but not those of commands such as migrations.
os.environ.setdefault("PGOPTIONS", "-c statement_timeout=30s")

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import environment as env

wsgi_app = "config.wsgi"
worker_class = "gthread"
try:
    logconfig_dict: dict[str, Any] = deepcopy(settings.LOGGING)
    # With a port only, Gunicorn would listen on all addresses.
    host = env.read("WEB_HOST", env.hosts, ["127.0.0.1"], "127.0.0.1")[0]
    bind = f"{host}:{env.read('PORT', env.positive, 8000, '8000')}"
    workers = env.read("WEB_CONCURRENCY", env.positive, 1, "2")
    # More threads than slow clients, and requests that wait for the database, usually block.
    threads = env.read("WEB_THREADS", env.positive, 16, "16")
except ImproperlyConfigured as error:
    sys.exit(f"Error: {error}")

# Longer than a proxy keeps a connection, so that the proxy never uses a closed one.
keepalive = 75
# The heartbeat files are in memory, because a slow disk would look like a dead process.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True
# Only BEHIND_PROXY decides whether a proxy is trusted.
forwarded_allow_ips = ""

# Gunicorn uses the log of the settings. It logs the route, because a path may contain secrets.
accesslog = "-"
access_log_format = "%(m)s %({route}e)s %(s)s %(M)sms"
handled_by_root = {"handlers": [], "propagate": True}
logconfig_dict["loggers"]["gunicorn.error"] = handled_by_root
logconfig_dict["loggers"]["gunicorn.access"] = handled_by_root
