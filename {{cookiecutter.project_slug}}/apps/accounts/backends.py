"""A limit for guesses of passwords, in every form and program."""

import logging
from typing import Any, Final

from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.core.exceptions import PermissionDenied
from django.views.decorators.debug import sensitive_variables

from apps.core.limits import client_address, count

from .models import User

logger = logging.getLogger(__name__)

SECONDS: Final = 900
# Failures in these seconds: for a name from one address, and for a name or an address in total.
FAILURES: Final = 10
FAILURES_AT_ALL: Final = 100


class LimitedBackend(ModelBackend):
    """Django's backend, which refuses even the right password after too many failures."""

    @sensitive_variables("password")
    def authenticate(
        self, request: Any, username: Any = None, password: Any = None, **kwargs: Any
    ) -> User | None:
        given = username or kwargs.get(User.USERNAME_FIELD)
        if given is None or password is None:  # for another backend
            return None
        name, address = User.normalize_username(given).casefold(), client_address(request)
        limits = {(name, address): FAILURES, (name, ""): FAILURES_AT_ALL}
        if address:
            limits["", address] = FAILURES_AT_ALL
        # Counting comes first, so that many guesses at once cannot pass the limit.
        allowed = all(count(*each, seconds=SECONDS) <= most for each, most in limits.items())
        if allowed and (user := super().authenticate(request, given, password)):
            for each in limits:
                count(*each, by=-1, seconds=SECONDS)
            return user
        logger.warning("A login as %.150r from %r has failed.", name, address)
        if not allowed:
            raise PermissionDenied("Too many failed logins.")  # so no other backend is asked
        return None

    # The method of ModelBackend has no limit.
    aauthenticate = BaseBackend.aauthenticate  # type: ignore[assignment]
