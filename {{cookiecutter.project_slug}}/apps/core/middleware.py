"""Middleware for the acting user, for probes, and for values that a database refuses."""

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

from .actor import Actor, acting_in
from .blocks import Block
from .log import PROBES, route_of
from .views import health, live

HEADER: Final = "X-Request-ID"
PAGES: Final = dict(zip(PROBES, (health, live), strict=True))
# The id is in every line of the log, so it must not be able to forge a line.
WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


@sync_and_async_middleware
def actor_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Make the user of a request the actor, and give request and response an id for the log.

    It also answers probes: they come without TLS and with another host, which later middleware
    would redirect or refuse.
    """
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            view = PAGES.get(request.path_info)
            with begin_request(request):
                response = await (sync_to_async(view)(request) if view else get_response(request))
            return finish_response(request, response)

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        with begin_request(request):
            response: Any = (PAGES.get(request.path_info) or get_response)(request)
        # Gunicorn warns of each body that it drops. Other servers do not.
        if request.method == "HEAD":
            setattr(response, "streaming_content" if response.streaming else "content", ())
        return finish_response(request, response)

    return synchronous


def begin_request(request: HttpRequest) -> Block[Actor]:
    """Give a request its id, a new one or that of a trusted proxy, and return its block."""
    given: str = request.headers.get(HEADER, "") if settings.TRUST_REQUEST_ID else ""
    request_id = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
    # Django logs more about the request after this middleware.
    request.request_id = request_id  # type: ignore[attr-defined]
    return acting_in(request, request_id=request_id)


def finish_response(request: HttpRequest, response: Any) -> Any:
    """Write the id into the response, and the route into the request for the access log."""
    response[HEADER] = request.request_id  # type: ignore[attr-defined]
    getattr(request, "scope", request.META)["route"] = route_of(request)
    return response


class LookupMiddleware(MiddlewareMixin):
    """Answers 400 instead of 500 to a URL with a value that the database refuses."""

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """Refuse the request if its URL is wrong; URLs of the admin can contain any lookup."""
        faults: tuple[type[Exception], ...] = (DataError,)
        if request.GET and getattr(request.resolver_match, "app_name", "") == "admin":
            faults += (NotSupportedError, ProgrammingError, IndexError, OverflowError)
        # SQLite's message for a wrong pattern has this text.
        refused = isinstance(error, faults) or "user-defined function" in str(error)
        if refused and request.method in ("GET", "HEAD"):
            raise BadRequest("The database refuses a value of this URL.") from error
