"""Every line of the log names its request; in production it is one JSON object."""

import json
import logging
from collections.abc import Iterator
from copy import deepcopy
from io import StringIO
from logging.config import DictConfigurator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from apps.core.actor import acting_as
from apps.core.log import RequestFilter
from apps.core.tests.deep.test_settings import PRODUCTION, setting

logger = logging.getLogger(__name__)


def speaking(request: HttpRequest) -> HttpResponse:
    logger.warning("“Seen” %s", "twice\nso")
    return HttpResponse()


def failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("no luck")


urlpatterns = [path("speaking/", speaking), path("failing/", failing)]


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Log as in production, into a string."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(RequestFilter())
    configuration: Any = deepcopy(settings.LOGGING)  # it is taken apart
    formatter = DictConfigurator(configuration).configure_formatter(
        configuration["formatters"]["json"]
    )
    handler.setFormatter(formatter)
    logging.root.addHandler(handler)
    yield written
    logging.root.removeHandler(handler)


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.urls(__name__)
def test_a_line_is_one_object_that_names_its_request(client: Client, log: StringIO) -> None:
    answer = client.get("/speaking/")
    [line] = lines(log)
    assert line["message"] == "“Seen” twice\nso"
    assert (line["level"], line["logger"]) == ("WARNING", __name__)
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["time"].endswith("+00:00")


@pytest.mark.urls(__name__)
def test_the_line_of_an_error_names_its_request_and_has_the_traceback(
    client: Client, log: StringIO
) -> None:
    client.raise_request_exception = False
    answer = client.get("/failing/")
    [line] = [line for line in lines(log) if line["logger"] == "django.request"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert "RuntimeError: no luck" in line["exc_info"]
    assert "request" not in line


def test_the_line_of_a_page_that_is_not_there_names_its_request(
    client: Client, log: StringIO
) -> None:
    answer = client.get("/elsewhere/")
    [line] = [line for line in lines(log) if line["logger"] == "django.request"]
    assert line["message"] == "Not Found: /elsewhere/"
    assert line["request_id"] == answer.headers["X-Request-ID"]


def test_under_asgi_the_line_of_a_page_that_is_not_there_does_so_too(log: StringIO) -> None:
    answer = async_to_sync(AsyncClient().get)("/elsewhere/")
    [line] = [line for line in lines(log) if line["logger"] == "django.request"]
    assert line["request_id"] == answer.headers["X-Request-ID"]


def test_a_refused_host_is_logged_with_its_request(client: Client, log: StringIO) -> None:
    answer = client.get("/", headers={"host": "elsewhere.example.com"})
    assert answer.status_code == 400
    assert {line["request_id"] for line in lines(log)} == {answer.headers["X-Request-ID"]}


def test_a_job_names_the_request_it_came_of(log: StringIO) -> None:
    with acting_as(None, source="job", request_id="the-request"):
        logger.warning("done")
    assert lines(log)[0]["request_id"] == "the-request"


def access(**parts: Any) -> logging.LogRecord:
    """Make a record as Gunicorn does."""
    given = {"m": "GET", "U": "/", "s": "200", "M": 3, "h": "::1", "{x-request-id}o": "-"}
    arguments = given | parts
    return logging.LogRecord(
        "gunicorn.access", logging.INFO, "", 0, "%(m)s %(U)s", (arguments,), None
    )


def test_a_line_of_the_access_log_has_fields() -> None:
    record: Any = access(U="/a b\nforged", **{"{x-request-id}o": "the-request"})
    assert RequestFilter().filter(record)
    assert record.getMessage() == "GET /a%20b%0Aforged"
    assert (record.request_id, record.status, record.milliseconds) == ("the-request", "200", 3)
    assert (record.method, record.path, record.address) == ("GET", "/a%20b%0Aforged", "::1")


def test_only_probes_that_fail_are_logged() -> None:
    assert not RequestFilter().filter(access(U="/health/"))
    assert RequestFilter().filter(access(U="/health/", s="503"))
    assert RequestFilter().filter(access())


def test_production_logs_json_unless_told_otherwise() -> None:
    formatter = "s.LOGGING['handlers']['console']['formatter']"
    assert setting(formatter, **PRODUCTION) == "json"
    assert setting(formatter, **PRODUCTION, LOG_FORMAT="line") == "line"
    assert setting(formatter, DEBUG="1") == "line"


PROBES = ["/health/", "/health/live/"]


@pytest.fixture
def strict(settings: Any) -> None:
    """Refuse other hosts and plain HTTP, as production does."""
    settings.ALLOWED_HOSTS = ["www.example.com"]
    settings.SECURE_SSL_REDIRECT = True


@pytest.mark.usefixtures("strict")
@pytest.mark.django_db
@pytest.mark.parametrize("url", PROBES)
def test_probes_are_answered_to_whoever_asks(client: Client, url: str) -> None:
    headers = {"host": "10.1.2.3"}
    assert client.get(url, headers=headers).json()["status"] == "ok"
    assert client.get("/", headers=headers).status_code == 400
    assert client.get("/health/else/", headers=headers).status_code == 400
    assert client.post(url, headers=headers).status_code == 405


@pytest.mark.usefixtures("strict")
@pytest.mark.django_db
@pytest.mark.parametrize("url", PROBES)
def test_probes_are_answered_under_asgi(url: str) -> None:
    answer = async_to_sync(AsyncClient().get)(url, headers={"host": "10.1.2.3"})
    assert answer.json()["status"] == "ok"
