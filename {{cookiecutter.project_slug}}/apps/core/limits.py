"""Counts in Django's cache how often strangers do something."""

import hashlib
from ipaddress import IPv6Network

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest


def count(*subject: str, by: int = 1, seconds: int = 3600) -> int:
    """Add to the count of a subject within these seconds, and return the count."""
    key = hashlib.sha256(repr(subject).encode()).hexdigest()  # a name may be too long for a key
    cache.add(key, 0, seconds)
    try:
        return cache.incr(key, by)
    except ValueError:  # the count has just expired
        return by


def client_address(request: HttpRequest | None) -> str:
    """Return the client's address, or its network of IPv6, which belongs to one client."""
    meta = request.META if request else {}
    address: str = meta.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        # The proxy writes the last address. The client can forge the others.
        address = meta.get("HTTP_X_FORWARDED_FOR", address).rpartition(",")[2].strip()
    address = address.removeprefix("::ffff:")
    try:
        return str(IPv6Network(f"{address}/64", strict=False))
    except ValueError:
        return address
