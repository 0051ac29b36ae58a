"""What every line of the log tells besides its message, and that no line is lost or tells secrets."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from .actor import current_request_id

if TYPE_CHECKING:  # the log is set up before Django is
    from django.http import HttpRequest

# Gunicorn's name of a part of its access log, and the name of the field it becomes.
ACCESS_FIELDS: Final = {
    "m": "method",
    "{route}e": "route",
    "s": "status",
    "M": "milliseconds",
    "h": "address",
}
# Where load balancers and orchestrators ask how the process is.
PROBES: Final = ("/health/", "/health/live/")
shortened: Final = Repr(maxlevel=4, maxstring=200, maxother=200).repr


def without_secret(path: str) -> str:
    """Return the first part of a path; the others may be the token of a link that was mailed."""
    first, _, others = path.split("?")[0].lstrip("/").partition("/")
    return f"/{quote(first)}/..." if others else quote(path.split("?")[0])


def route_of(request: "HttpRequest") -> str:
    """Return what the URL configuration calls a page, such as ``/admin/<path:object_id>/``."""
    match = request.resolver_match
    return f"/{match.route}" if match else without_secret(request.path)


class RequestFilter(logging.Filter):
    """Adds ``request_id``, which joins the lines of one request and of the jobs it handed off.

    Lines after the middleware take the id from their request or, in Gunicorn's access log, from
    the response. The parts of that log become fields. Paths become routes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; let every record pass but those of probes that went well."""
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
            record.args = tuple(route_of(request) if it == request.path else it for it in parts)
        elif isinstance(parts, tuple) and record.name == "gunicorn.error":
            record.args = tuple(without_secret(it) if str(it)[:1] == "/" else it for it in parts)
        return True


def dumps(line: Mapping[str, Any], **options: Any) -> str:
    """Write a line as JSON; what is no JSON in it stands there as ``repr`` would show it."""
    try:
        return json.dumps(line, allow_nan=False, **options)
    except (TypeError, ValueError, RecursionError):
        plain = {
            name: value if isinstance(value, str | int | datetime | None) else shortened(value)
            for name, value in line.items()
        }
        return json.dumps(plain, **options)
