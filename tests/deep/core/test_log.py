"""Every line of the log names its request; in production it is one JSON object."""

import json
import logging
from collections.abc import Iterator
from copy import deepcopy
from io import StringIO
from logging.config import DictConfigurator
from typing import Any
from unittest import mock

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
    configurator: Any = DictConfigurator(deepcopy(settings.LOGGING))  # it changes its input
    formatter = configurator.configure_formatter(configurator.config["formatters"]["json"])
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


def test_the_line_of_a_missing_page_names_its_request(client: Client, log: StringIO) -> None:
    answer = client.get("/elsewhere/")
    [line] = [line for line in lines(log) if line["logger"] == "django.request"]
    assert line["message"] == "Not Found: /elsewhere/"
    assert line["request_id"] == answer.headers["X-Request-ID"]


def test_under_asgi_the_line_of_a_missing_page_names_its_request(log: StringIO) -> None:
    answer = async_to_sync(AsyncClient().get)("/elsewhere/")
    [line] = [line for line in lines(log) if line["logger"] == "django.request"]
    assert line["request_id"] == answer.headers["X-Request-ID"]


def test_a_refused_host_is_logged_with_its_request(client: Client, log: StringIO) -> None:
    answer = client.get("/", headers={"host": "elsewhere.example.com"})
    assert answer.status_code == 400
    assert {line["request_id"] for line in lines(log)} == {answer.headers["X-Request-ID"]}


def test_a_line_of_a_job_names_the_request_that_led_to_it(log: StringIO) -> None:
    with acting_as(None, source="job", request_id="the-request"):
        logger.warning("done")
    assert lines(log)[0]["request_id"] == "the-request"


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE


@pytest.mark.parametrize(
    ("extra", "written"),
    [
        ({"a": {(1, 2): 3}}, "{(1, 2): 3}"),
        ({"a": CYCLE}, "{'self': {'self': "),
        ({"a": float("nan")}, "nan"),
        ({"a": [float("inf")]}, "[inf]"),
        ({"a": nested(100_000)}, "[[[["),
        ({"a": {(1,): Unspeakable()}}, "{(1,): <Unspeakable instance at"),
        ({"a": Unspeakable(), "b": {(1,): 1}}, "<Unspeakable instance at"),
        ({"a": {1, 2}}, "{1, 2}"),
        ({"a": b"\xff"}, ""),
        ({"a": "\ud800"}, "\ud800"),
        ({"a": None, "b": {(1,): 1}}, None),
        ({"a": True, "b": {(1,): 1}}, True),
        ({1: 2}, None),
        ({(1, 2): 3}, None),
        ({"level": "x", "logger": "x", "time": "x", "request_id": "x", "request": "x"}, None),
    ],
    ids=lambda value: None,
)
def test_extra_fields_neither_lose_a_line_nor_forge_one(
    log: StringIO, extra: dict[Any, Any], written: Any
) -> None:
    logger.warning("said", extra=extra)
    [line] = [json.loads(text, parse_constant=pytest.fail) for text in log.getvalue().splitlines()]
    assert (line["message"], line["level"], line["logger"]) == ("said", "WARNING", __name__)
    assert line["time"].endswith("+00:00")
    assert line["request_id"] == ""
    if isinstance(written, str):
        assert line["a"].startswith(written)
    else:
        assert line.get("a") is written


SECRET = "the-token-of-a-link"
RESET = f"/accounts/reset/MQ/{SECRET}/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        RESET,
        RESET.rstrip("/"),
        f"{RESET}more/",
        f"{RESET}\u200b",
        f"/accounts/reset/MQ/{SECRET}%0A/",
        f"/else{RESET}",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put"])
def test_no_line_about_a_request_contains_the_secret_of_its_path(
    client: Client, log: StringIO, path: str, method: str
) -> None:
    """The pages exist, redirect, are missing, refuse the method, or lack the token of the form."""
    client.handler.enforce_csrf_checks = True
    with mock.patch("apps.core.log.current_request_id", return_value="the-request"):
        answer = getattr(client, method)(path)
    assert answer.status_code in (200, 301, 302, 403, 404, 405)
    assert SECRET not in log.getvalue()
    assert SECRET not in answer.wsgi_request.META["route"]
    assert answer.wsgi_request.META["route"].startswith(("/accounts/", "/else/"))


@pytest.mark.django_db
def test_a_route_says_which_page_it_was(client: Client) -> None:
    answer = client.get(RESET)
    assert answer.wsgi_request.META["route"] == "/accounts/reset/<uidb64>/<token>/"
    missing = client.get("/a%20b%0Aforged")
    assert missing.wsgi_request.META["route"] == "/a%20b%0Aforged"


def test_gunicorn_itself_writes_no_secret_when_a_request_fails() -> None:
    record = logging.LogRecord(
        "gunicorn.error", 40, "", 0, "Error handling request %s %s", ("GET", f"{RESET}?x=1"), None
    )
    assert RequestFilter().filter(record)
    assert record.getMessage() == "Error handling request GET /accounts/..."
    text = f"Invalid request from ip=::1: Invalid HTTP request line: 'GET {RESET}é HTTP/1.1'"
    record = logging.LogRecord("gunicorn.error", 30, "", 0, text, (), None)
    assert RequestFilter().filter(record)
    assert record.getMessage() == "Invalid request from ip=::1: Invalid HTTP request line"


def access(**parts: Any) -> logging.LogRecord:
    """Make a record as Gunicorn does."""
    given = {"m": "GET", "U": "/", "s": "200", "M": 3, "h": "::1", "{x-request-id}o": "-"}
    arguments = given | {"{route}e": "/"} | parts
    return logging.LogRecord(
        "gunicorn.access", logging.INFO, "", 0, "%(m)s %({route}e)s", (arguments,), None
    )


def test_a_line_of_the_access_log_has_fields() -> None:
    parts = {"{x-request-id}o": "the-request", "{route}e": "/reset/<token>/", "U": RESET}
    record: Any = access(**parts)
    assert RequestFilter().filter(record)
    assert record.getMessage() == "GET /reset/<token>/"
    assert (record.request_id, record.status, record.milliseconds) == ("the-request", "200", 3)
    assert (record.method, record.route, record.address) == ("GET", "/reset/<token>/", "::1")


def test_only_probes_that_fail_are_logged() -> None:
    assert not RequestFilter().filter(access(U="/health/"))
    assert RequestFilter().filter(access(U="/health/", s="503"))
    assert RequestFilter().filter(access(U="/health/another/"))
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
def test_probes_are_answered_for_any_host(client: Client, url: str) -> None:
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


def below_health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("private")


@pytest.mark.usefixtures("strict")
@pytest.mark.django_db
def test_a_page_of_the_projects_own_below_health_passes_all_middleware(
    client: Client, settings: Any
) -> None:
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path("health/own/", below_health)]})
    assert client.get("/health/own/", headers={"host": "10.1.2.3"}).status_code == 400
    assert client.get("/health/own/", headers={"host": "www.example.com"}).status_code == 301
