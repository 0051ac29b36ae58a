"""Adds fields to the lines of the log, and keeps secrets out of them."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from reprlib import Repr
from typing import Any, Final
from urllib.parse import quote

from django.http import HttpRequest

from .actor import current_request_id

# Gunicorn's names for the parts of its access log, and the names of our fields.
ACCESS_FIELDS: Final = {
    "m": "method",
    "{route}e": "route",
    "s": "status",
    "M": "milliseconds",
    "h": "address",
}
# Load balancers and orchestrators ask these paths for the state of the process.
PROBES: Final = ("/health/", "/health/live/")
shortened: Final = Repr(maxlevel=4, maxstring=200, maxother=200).repr


def without_secret(path: str) -> str:
    """Return the first part of a path, because the others may be the token of a mailed link."""
    first, _, others = path.split("?")[0].lstrip("/").partition("/")
    return f"/{quote(first)}/..." if others else quote(path.split("?")[0])


def route_of(request: HttpRequest) -> str:
    """Return the pattern of a page in the URLs, such as ``/admin/<path:object_id>/``."""
    match = request.resolver_match
    return f"/{match.route}" if match else without_secret(request.path)


class RequestFilter(logging.Filter):
    """Adds ``request_id`` to the lines of a request and of its jobs, and replaces paths by routes.

    The parts of Gunicorn's access log become fields. Its id comes from the response.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; drop only the access log of probes that succeed."""
        request: Any = getattr(record, "request", None)
        record.request_id = current_request_id() or getattr(request, "request_id", "")
        parts: Any = record.args
        if record.name == "gunicorn.access" and isinstance(parts, Mapping):
            given = parts["{x-request-id}o"]
            record.request_id = "" if given == "-" else given
            for part, field in ACCESS_FIELDS.items():
                setattr(record, field, parts[part])
            return not (parts["U"] in PROBES and parts["s"] == "200")
        if isinstance(parts, tuple) and hasattr(request, "resolver_match"):
            record.args = tuple(route_of(request) if str(it)[:1] == "/" else it for it in parts)
        elif isinstance(parts, tuple) and record.name == "gunicorn.error":
            record.msg = str(record.msg).partition(": '")[0]  # the line of a wrong request
            record.args = tuple(without_secret(it) if str(it)[:1] == "/" else it for it in parts)
        return True


def dumps(line: Mapping[str, Any], **options: Any) -> str:
    """Write a line as JSON, with a short ``repr`` of each value that JSON cannot hold."""
    try:
        return json.dumps(line, allow_nan=False, **options)
    except (TypeError, ValueError, RecursionError):
        plain = {
            f"{name}": value if isinstance(value, str | int | datetime | None) else shortened(value)
            for name, value in line.items()
        }
        return json.dumps(plain, **options)
