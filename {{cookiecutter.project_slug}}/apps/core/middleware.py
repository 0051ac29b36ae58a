"""Middleware: who is acting, and the answers to probes."""

import re
import uuid
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from .actor import acting_in
from .log import PROBES

HEADER: Final = "X-Request-ID"
# What goes into every line of the log must not be able to forge another one.
WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


@sync_and_async_middleware
def actor_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Make the request and its id known to ``apps.core.actor`` while its response is made.

    The response names the id in its header ``X-Request-ID``, so that what a user reports can be
    found in the log.
    """
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            identity = identify(request)
            with acting_in(request, request_id=identity):
                response = await get_response(request)
            response[HEADER] = identity
            return response

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        identity = identify(request)
        with acting_in(request, request_id=identity):
            response = get_response(request)
        response[HEADER] = identity
        return response

    return synchronous


def identify(request: HttpRequest) -> str:
    """Give a request the id that a trusted proxy has sent, or else a new one, and return it.

    Anybody can send the header, so it counts only with the setting ``TRUST_REQUEST_ID``.
    """
    given: str = request.headers.get(HEADER, "") if settings.TRUST_REQUEST_ID else ""
    identity = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
    # For what Django logs of the request when this middleware is over.
    request.request_id = identity  # type: ignore[attr-defined]
    return identity


@sync_and_async_middleware
def probe_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer probes before any other middleware sees them.

    They come over plain HTTP and by the address of the machine, which other middleware would
    redirect and refuse.
    """
    if iscoroutinefunction(get_response):
        answer = sync_to_async(_answer_to_probe)

        async def asynchronous(request: HttpRequest) -> Any:
            response = await answer(request) if request.path_info.startswith(PROBES) else None
            return await get_response(request) if response is None else response

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        response = _answer_to_probe(request) if request.path_info.startswith(PROBES) else None
        return get_response(request) if response is None else response

    return synchronous


def _answer_to_probe(request: HttpRequest) -> Any:
    try:
        view, arguments, keywords = resolve(request.path_info)
    except Resolver404:
        return None
    return view(request, *arguments, **keywords)
