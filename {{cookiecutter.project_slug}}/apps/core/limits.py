"""How often strangers may do something, counted in Django's cache."""

import hashlib
from ipaddress import IPv6Network

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest


def count(*subject: str, by: int = 1, seconds: int = 3600) -> int:
    """Add to how often a subject did something in these seconds, and return that."""
    key = hashlib.sha256(repr(subject).encode()).hexdigest()  # a name may be long
    cache.add(key, 0, seconds)
    try:
        return cache.incr(key, by)
    except ValueError:  # the seconds have passed just now
        return by


def client_address(request: HttpRequest | None) -> str:
    """Return where a request comes from; of IPv6 the network, all of which is one client's."""
    meta = request.META if request else {}
    address: str = meta.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        # The proxy writes the last one; those before it come from the client.
        address = meta.get("HTTP_X_FORWARDED_FOR", address).rpartition(",")[2].strip()
    address = address.removeprefix("::ffff:")
    try:
        return str(IPv6Network(f"{address}/64", strict=False))
    except ValueError:
        return address
