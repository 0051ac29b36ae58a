"""The broker: where jobs wait for a worker, as ``CELERY_BROKER_URL`` names it."""

from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SCHEMES: Final = ("memory://", "redis://", "rediss://", "amqp://", "amqps://")

# Seconds that one step, connecting or being answered, may take.
PATIENCE: Final = 2

# A request must not wait for a broker that is away. The worker has a loop of its own.
ONE_TRY: Final = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def broker_settings() -> dict[str, Any]:
    """Return Celery's settings for the broker.

    Raises:
        ImproperlyConfigured: see ``broker_url``.
    """
    scheme, address = broker_url().scheme, settings.CELERY_BROKER_URL
    options: dict[str, Any] = dict(ONE_TRY)
    transport = None
    if scheme == "memory":
        address, transport = "localhost", "apps.handoff.transport:Transport"
    elif scheme.startswith("redis"):
        options |= {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    else:
        options |= {"read_timeout": PATIENCE, "write_timeout": PATIENCE}
    return {
        # Not broker_url: over that Celery prefers the variable of the environment.
        "broker_read_url": address,
        "broker_write_url": address,
        "broker_transport": transport,
        "broker_transport_options": options,
        "broker_connection_timeout": PATIENCE,
    }


def is_embedded() -> bool:
    """Whether jobs wait in the memory of the worker, where only its own relay can send them."""
    return broker_url().scheme == "memory"


def broker_name() -> str:
    """Return the address of the broker for a log: without user, password and options."""
    try:
        url = broker_url()
    except ImproperlyConfigured:
        return "CELERY_BROKER_URL names none"
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def broker_url() -> SplitResult:
    """Take ``CELERY_BROKER_URL`` apart.

    Raises:
        ImproperlyConfigured: when it is not a URL or names an unknown kind of
            broker. The sentence repeats nothing of it: it may hold a password.
    """
    try:
        url: SplitResult = urlsplit(settings.CELERY_BROKER_URL)
        url.port  # noqa: B018 - a port that is none raises
    except ValueError:
        raise ImproperlyConfigured(
            "CELERY_BROKER_URL is not a URL. In a password write / as %2F, @ as %40, # as %23"
            " and so on, for example redis://:pass%2Fword@127.0.0.1:6379/0."
        ) from None
    if not settings.CELERY_BROKER_URL.lower().startswith(SCHEMES):
        raise ImproperlyConfigured(
            f"CELERY_BROKER_URL begins with none of {', '.join(SCHEMES)}. Write memory:// for the"
            " worker's own memory, or the address of a server, for example"
            " redis://127.0.0.1:6379/0 or amqp://user:password@127.0.0.1:5672//."
        )
    return url
