"""Pages, proxies and defaults, as docs/production.md says."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from django.core import mail
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import path
from django.utils.csp import CSP

from .test_settings import BASE_DIR, PRODUCTION, run

# Asks for a page that needs neither a database nor files; without the project's own .env.
ASK = """
import json, sys
from config import environment
environment.load = lambda path: None
from config.wsgi import application
from django.test import Client
headers = {"host": "www.example.com"} | json.loads(sys.argv[1])
answer = Client().get("/accounts/logout/", headers=headers)
print(json.dumps([answer.status_code, answer.headers["X-Request-ID"]]))
"""

# Evaluates an expression, also without .env.
EVALUATE = """
import json, sys
from config import environment
environment.load = lambda path: None
from config import settings
print(json.dumps(eval(sys.argv[1])))
"""

FROM_A_PROXY = {"x-forwarded-proto": "https", "x-request-id": "proxy-1.2_3"}


def printed(code: str, argument: str, **environment: str) -> Any:
    done = run("-c", code, argument, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "directive",
    ["script-src", "style-src", "object-src", "base-uri", "form-action", "frame-ancestors"],
)
def test_pages_allow_neither_inline_scripts_nor_foreign_origins(
    client: Client, directive: str
) -> None:
    header = client.get("/").headers["Content-Security-Policy"]
    policy = {name: sources for name, *sources in map(str.split, header.split(";"))}
    if directive not in policy and directive.endswith("-src"):
        directive = "default-src"  # it replaces only these
    assert directive in policy
    assert set(policy[directive]) <= {"'self'", "'none'"}


def test_without_a_proxy_no_header_says_that_the_request_is_secure() -> None:
    status_code, request_id = printed(ASK, json.dumps(FROM_A_PROXY), **PRODUCTION)
    assert status_code == 301
    assert request_id != FROM_A_PROXY["x-request-id"]


@pytest.mark.parametrize(("scheme", "status_code"), [("https", 405), ("http", 301)])
def test_a_proxy_says_whether_a_request_is_secure_and_names_it(
    scheme: str, status_code: int
) -> None:
    headers = FROM_A_PROXY | {"x-forwarded-proto": scheme}
    answer = printed(ASK, json.dumps(headers), **PRODUCTION, BEHIND_PROXY="1")
    assert answer == [status_code, FROM_A_PROXY["x-request-id"]]


def test_production_is_the_default() -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name != "DEBUG"}
    assert printed(EVALUATE, "settings.DEBUG", **environment) is False


def test_forms_are_taken_from_the_origins_that_are_named() -> None:
    environment = PRODUCTION | {"CSRF_TRUSTED_ORIGINS": "https://example.com,https://*.example.net"}
    origins = printed(EVALUATE, "settings.CSRF_TRUSTED_ORIGINS", **environment)
    assert origins == ["https://example.com", "https://*.example.net"]


def test_mail_about_errors_comes_from_the_address_of_all_mail(settings: Any) -> None:
    settings.ADMINS = ["ada@example.com"]
    mail.mail_admins("An error", "It is in the log.")
    assert mail.outbox[0].from_email == settings.DEFAULT_FROM_EMAIL


def scripted(request: HttpRequest) -> HttpResponse:
    template = engines["django"].from_string('<script nonce="{{ csp_nonce }}"></script>')
    return HttpResponse(template.render({}, request))


urlpatterns = [path("", scripted)]


@pytest.mark.urls(__name__)
def test_the_policy_can_be_widened_as_the_page_says(client: Client, settings: Any) -> None:
    text = (BASE_DIR / "docs" / "production.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    changed = {"CSP": CSP, **{name: deepcopy(getattr(settings, name)) for name in WIDENED}}
    exec(lines, changed)  # noqa: S102
    for name in WIDENED:
        setattr(settings, name, changed[name])
    answer = client.get("/")
    [nonce] = re.findall(r'nonce="(.+)"', answer.text)
    header = answer.headers["Content-Security-Policy"]
    policy = {name: sources for name, *sources in map(str.split, header.split(";"))}
    assert policy["script-src"] == ["'self'", "https://cdn.example.com", f"'nonce-{nonce}'"]
    assert policy["style-src"] == policy["font-src"] == ["'self'", "https://cdn.example.com"]
    assert policy["form-action"] == ["'self'", "https://accounts.google.com"]
    assert policy["default-src"] == ["'self'"]


WIDENED = ("SECURE_CSP", "TEMPLATES")
