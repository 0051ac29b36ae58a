"""Limits for guessing passwords, wherever a password is asked for."""

from typing import Any, Final

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from apps.core.limits import Limit, client_address, folded

from .models import User

# Failed logins in 15 minutes, for a name from one address; for a name, or an address, at all.
FAILURES: Final = Limit("failed login", 10, 900)
FAILURES_AT_ALL: Final = Limit("failed logins", 100, 900)


class LimitedBackend(ModelBackend):
    """Django's own backend, which refuses even the right password after too many failures."""

    def authenticate(self, request: Any, *args: Any, **credentials: Any) -> User | None:
        _refuse(request, credentials)
        return super().authenticate(request, *args, **credentials)

    async def aauthenticate(self, request: Any, *args: Any, **credentials: Any) -> User | None:
        _refuse(request, credentials)
        return await super().aauthenticate(request, *args, **credentials)


def name_in(credentials: dict[str, Any]) -> str:
    """Return the name that somebody tries to log in with."""
    return str(credentials.get("username") or credentials.get(User.USERNAME_FIELD, ""))


def limits_of(request: HttpRequest | None, name: str) -> list[tuple[Limit, tuple[str, str]]]:
    """Return the limits that a failed login counts for, and as what."""
    name, address = folded(name), client_address(request)
    at_all = [(FAILURES_AT_ALL, subject) for subject in ((name, ""), ("", address))]
    return [(FAILURES, (name, address)), *at_all]


def _refuse(request: HttpRequest | None, credentials: dict[str, Any]) -> None:
    """Raise PermissionDenied after too many failures: no other backend is asked then."""
    if any(limit.is_reached(*one) for limit, one in limits_of(request, name_in(credentials))):
        raise PermissionDenied("Too many failed logins.")
