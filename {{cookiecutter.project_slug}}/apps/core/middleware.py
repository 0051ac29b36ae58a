"""Middleware that tells receivers which request, and so which user, is acting."""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware

from .actor import acting_in


@sync_and_async_middleware
def actor_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Make the request known to ``apps.core.actor`` while its response is made."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            with acting_in(request):
                return await get_response(request)

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        with acting_in(request):
            return get_response(request)

    return synchronous
