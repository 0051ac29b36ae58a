"""The broker, which ``CELERY_BROKER_URL`` names: messages wait there for a worker."""

import re
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SCHEMES: Final = ("memory://", "redis://", "rediss://", "amqp://", "amqps://")
# kombu drops some of the other parts, and others turn TLS on although their value is false.
SERVER: Final = r"://[^/?#]*(/[^@?#]*)?"
KNOWN: Final = re.compile(
    rf"(memory|amqps?){SERVER}|rediss?{SERVER}(\?(&?ssl_\w+=[^@?&#]+)+)?", re.IGNORECASE
)

# The seconds that one step may take: to connect, or to get an answer.
PATIENCE: Final = 2

# The relay has its own loop, so kombu must not try again by itself.
ONE_TRY: Final = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def broker_url() -> SplitResult:
    """Return the parts of ``CELERY_BROKER_URL``, or raise ImproperlyConfigured.

    The message repeats no part of the URL, because the URL may contain a password.
    """
    with suppress(ValueError):
        url: SplitResult = urlsplit(settings.CELERY_BROKER_URL)
        url.port  # noqa: B018 - raises for a wrong port
        if KNOWN.fullmatch(settings.CELERY_BROKER_URL):
            return url
    raise ImproperlyConfigured(
        f"CELERY_BROKER_URL is no URL that begins with one of {', '.join(SCHEMES)}, or has unknown"
        " options after a ?. Write memory:// for the worker's own memory, or the address of a"
        " server, for example redis://:password@127.0.0.1:6379/0 or"
        " amqp://user:password@127.0.0.1:5672//. In a password write / as %2F, @ as %40, # as %23"
        " and so on."
    )
