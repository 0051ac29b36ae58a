"""Middleware: who is acting, the answers to probes, and look-ups that no database can do."""

import re
import uuid
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import DataError, NotSupportedError, ProgrammingError
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from .actor import acting_in
from .log import PROBES, route_of
from .views import health, live

HEADER: Final = "X-Request-ID"
PAGES: Final = dict(zip(PROBES, (health, live), strict=True))
# What goes into every line of the log must not be able to forge another one.
WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


@sync_and_async_middleware
def actor_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Make the request and its id known to ``apps.core.actor`` while its response is made.

    The response names the id in its header ``X-Request-ID``, so that what a user reports can be
    found in the log. Probes come over plain HTTP and by the address of the machine, which other
    middleware would redirect and refuse: they are answered here.
    """
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            view = PAGES.get(request.path_info)
            identity = identify(request)
            with acting_in(request, request_id=identity):
                response = await (sync_to_async(view)(request) if view else get_response(request))
            return marked(request, response, identity)

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        identity = identify(request)
        with acting_in(request, request_id=identity):
            response: Any = (PAGES.get(request.path_info) or get_response)(request)
        # Gunicorn warns of each body that it has to drop; other servers drop it in silence.
        if request.method == "HEAD":
            setattr(response, "streaming_content" if response.streaming else "content", ())
        return marked(request, response, identity)

    return synchronous


def identify(request: HttpRequest) -> str:
    """Return the id that a proxy has sent, if ``TRUST_REQUEST_ID`` says so, or else a new one."""
    given: str = request.headers.get(HEADER, "") if settings.TRUST_REQUEST_ID else ""
    identity = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
    # For what Django logs of the request when this middleware is over.
    request.request_id = identity  # type: ignore[attr-defined]
    return identity


def marked(request: HttpRequest, response: Any, identity: str) -> Any:
    """Name the request in its response, and its route where later lines of the log find it."""
    response[HEADER] = identity
    getattr(request, "scope", request.META)["route"] = route_of(request)
    return response


class LookupMiddleware(MiddlewareMixin):
    """Answers 400 instead of 500 to an address that holds no value, pattern or number."""

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """Refuse the address, if it is at fault; the admin passes look-ups of any kind on."""
        faults: tuple[type[Exception], ...] = (DataError,)
        if request.GET and getattr(request.resolver_match, "app_name", "") == "admin":
            faults += (NotSupportedError, ProgrammingError, IndexError, OverflowError)
        # What SQLite says of a pattern.
        refused = isinstance(error, faults) or "user-defined function" in str(error)
        if refused and request.method in ("GET", "HEAD"):
            raise BadRequest("Nothing can be looked up like that.") from error
