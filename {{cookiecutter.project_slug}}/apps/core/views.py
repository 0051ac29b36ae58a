"""The home page and the health check."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .modules import Health, module_configs

logger = logging.getLogger(__name__)

# Seconds that the database has to answer a probe. A thread waits, because the time limits of the
# database do not work when it is silent.
DATABASE_SECONDS: Final = 2
database_thread: Final = ThreadPoolExecutor(1, thread_name_prefix="health")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Greet the visitor; in development, list the parts of the project with their details."""
    configs = module_configs() if settings.DEBUG else []
    details = [config.details() for config in configs]
    modules = [
        (config, [each[config.label] for each in details if config.label in each])
        for config in configs
    ]
    return render(request, "core/home.html", {"modules": modules, "debug": settings.DEBUG})


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Answer with the state of each part, and 503 when this process cannot serve requests."""
    answer = database_thread.submit(ask_database)
    try:
        answer.result(DATABASE_SECONDS)
    except (DatabaseError, TimeoutError):
        answer.cancel()  # it may still wait for an earlier one
        logger.exception("The database does not answer; check DATABASE_URL and the server.")
        return JsonResponse({"status": "unavailable", "database": "unavailable"}, status=503)
    parts = {"database": Health.OK}
    for config in module_configs():
        try:
            state = config.health()
        except Exception:
            logger.exception("The health check of %s failed.", config.verbose_name)
            state = Health.DEGRADED
        if state is not None:
            parts[config.label] = state
    status = max(parts.values(), key=list(Health).index)
    code = 503 if status == Health.UNAVAILABLE else 200
    return JsonResponse({"status": status, **parts}, status=code)


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200; a process that does not answer needs a restart."""
    return JsonResponse({"status": "ok"})


def ask_database() -> None:
    """Ask with a new connection, because an old one may be broken."""
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
