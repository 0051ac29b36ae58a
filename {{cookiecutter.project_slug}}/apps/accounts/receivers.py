"""Receivers of the accounts."""

import logging
from typing import Any

from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest

from apps.core.dispatch import receiver
from apps.core.limits import client_address

from .backends import limits_of, name_in

logger = logging.getLogger(__name__)


@receiver(user_login_failed)
def count_failed_login(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Log a failed login, and count it for its name and its address."""
    name = name_in(credentials)
    logger.warning("A login as %.150r from %r has failed.", name, client_address(request))
    for limit, subject in limits_of(request, name):
        limit.spend(*subject)
