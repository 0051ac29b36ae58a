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

# Seconds in which the database has to answer a probe. A thread waits for it, since no time limit
# of the database's own holds when it is silent.
PATIENCE: Final = 2
asker: Final = ThreadPoolExecutor(1, thread_name_prefix="health")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Greet the visitor; in development, list the parts of the project with their details."""
    configs = module_configs() if settings.DEBUG else []
    found = [config.details() for config in configs]
    modules = [
        (config, [each[config.label] for each in found if config.label in each])
        for config in configs
    ]
    return render(request, "core/home.html", {"modules": modules, "debug": settings.DEBUG})


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Answer 503 when the database, or an app, says that requests cannot be served; else 200.

    An app that is degraded, such as one whose backlog grows, is named and changes nothing of
    that: to take this process out of service would mend nothing.
    """
    answer = asker.submit(ask_database)
    try:
        answer.result(PATIENCE)
    except (DatabaseError, TimeoutError):
        answer.cancel()  # it may have been waiting for an earlier one
        logger.exception("The database does not answer; check DATABASE_URL and the server.")
        return JsonResponse({"status": "unavailable", "database": "unavailable"}, status=503)
    parts = {"database": Health.OK}
    for config in module_configs():
        try:
            state = config.health()
        except Exception:
            logger.exception("%s cannot say how it does.", config.verbose_name)
            state = Health.DEGRADED
        if state is not None:
            parts[config.label] = state
    status = max(parts.values(), key=list(Health).index)
    return JsonResponse(
        {"status": status, **parts}, status=503 if status == Health.UNAVAILABLE else 200
    )


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process answers at all; what fails here is to be started again."""
    return JsonResponse({"status": "ok"})


def ask_database() -> None:
    """Ask over a new connection, which an old one that is broken does not hinder."""
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
