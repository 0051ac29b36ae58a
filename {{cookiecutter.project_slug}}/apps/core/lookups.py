"""Look-ups that stand in an address: what a database cannot look up is no error of the project."""

import logging

from django.db import DatabaseError, DataError, NotSupportedError, ProgrammingError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.utils.deprecation import MiddlewareMixin

logger = logging.getLogger(__name__)

# Django's admin passes look-ups of the address on, and these come back.
OF_THE_ADMIN = (DataError, NotSupportedError, ProgrammingError, IndexError, OverflowError)


class LookupMiddleware(MiddlewareMixin):
    """Answer 400 instead of 500 to an address with a text, a pattern or a number that is none."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        admin = request.GET and getattr(request.resolver_match, "app_name", "") == "admin"
        refused = isinstance(error, OF_THE_ADMIN if admin else DataError)
        # SQLite asks a function for patterns, which fails.
        refused |= isinstance(error, DatabaseError) and "user-defined function" in str(error)
        if not refused or request.method not in ("GET", "HEAD"):
            return None
        logger.warning("Nothing can be looked up by %r.", request.GET, exc_info=error)
        return HttpResponseBadRequest("Nothing can be looked up like that.\n")
