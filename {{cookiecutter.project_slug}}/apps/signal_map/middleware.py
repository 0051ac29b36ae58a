"""Middleware that tells the browser which receivers ran in a request."""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware

from apps.core.actor import current_request_id

from . import tracing


@sync_and_async_middleware
def tracing_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """List in the header ``Server-Timing`` which receivers ran, and how long each took.

    Django does not load it unless ``SIGNAL_TRACING`` is on. The header does not list receivers
    that run after the view: while a response is streamed, or in ``request_finished``.
    """
    if not settings.SIGNAL_TRACING:
        raise MiddlewareNotUsed
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            with tracing.tracing(request.method or "") as trace:
                return tell(trace, request, await get_response(request))

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        with tracing.tracing(request.method or "") as trace:
            return tell(trace, request, get_response(request))

    return synchronous


def tell(trace: tracing.Trace, request: HttpRequest, response: Any) -> Any:
    """Copy route and status into the trace, and the trace into the header of the response."""
    # The path can contain a secret, such as the token that resets a password.
    trace.route = f"/{request.resolver_match.route}" if request.resolver_match else "no page"
    trace.status = response.status_code
    trace.request_id = current_request_id()
    if timing := tracing.server_timing(trace):
        others = response.headers.get("Server-Timing")
        response.headers["Server-Timing"] = f"{others}, {timing}" if others else timing
    return response
