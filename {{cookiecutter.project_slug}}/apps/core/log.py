"""What every line of the log tells besides its message."""

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from .actor import current_request_id

# Gunicorn's name of a part of its access log, and the name of the field it becomes.
ACCESS_FIELDS: Final = {
    "m": "method",
    "U": "path",
    "s": "status",
    "M": "milliseconds",
    "h": "address",
}
# Where load balancers and orchestrators ask how the process is.
PROBES: Final = "/health/"


class RequestFilter(logging.Filter):
    """Adds ``request_id``, which joins the lines of one request and of the jobs it handed off.

    Some lines are written when the middleware is over. Those of Django, such as of a page that is
    not there, take the id from the request that they are about; a line of Gunicorn's access log
    takes it from the response, and its parts as fields of their own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; let every record pass but those of probes that went well."""
        request = getattr(record, "request", None)
        record.request_id = current_request_id() or getattr(request, "request_id", "")
        parts: Any = record.args
        if record.name != "gunicorn.access" or not isinstance(parts, Mapping):
            return True
        given = parts["{x-request-id}o"]
        record.request_id = "" if given == "-" else given
        # Decoded, a path may hold line breaks.
        record.args = {**parts, "U": quote(parts["U"])}
        for part, field in ACCESS_FIELDS.items():
            setattr(record, field, record.args[part])
        return not (parts["U"].startswith(PROBES) and parts["s"] == "200")
