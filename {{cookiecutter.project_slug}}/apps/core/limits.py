"""How often strangers may do something: counted in the cache, for each of them."""

import hashlib
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Limit:
    """So many times within so many seconds, for each subject by itself."""

    name: str
    times: int
    seconds: int

    def spend(self, *subject: object) -> bool:
        """Count one time more; False when that is too many."""
        key = self._key(subject)
        cache.add(key, 0, self.seconds)
        try:
            return cache.incr(key) <= self.times
        except ValueError:  # the seconds are over just now
            return True

    def is_reached(self, *subject: object) -> bool:
        """Whether one time more would be too many."""
        return bool(cache.get(self._key(subject), 0) >= self.times)

    def _key(self, subject: tuple[object, ...]) -> str:
        # A digest: names are of any length, and a cache is no place for them.
        return hashlib.sha256(repr((self.name, *subject)).encode()).hexdigest()


def folded(text: str) -> str:
    """Return text as it is compared: without case, and without other forms of a letter."""
    return unicodedata.normalize("NFKC", text).casefold()


def client_address(request: HttpRequest | None) -> str:
    """Return the address that a request comes from; of IPv6 the network, of which one has all."""
    found: str = request.META.get("REMOTE_ADDR", "") if request else ""
    if request and settings.BEHIND_PROXY:
        # The proxy adds the last; those before it come from the client.
        found = request.headers.get("X-Forwarded-For", found).rpartition(",")[2].strip()
    try:
        address = ip_address(found)
    except ValueError:  # a socket of Unix has none, and anybody can send nonsense
        return found
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address if address.version == 4 else IPv6Network((address, 64), strict=False))
