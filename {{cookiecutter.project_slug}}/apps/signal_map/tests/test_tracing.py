"""Which receivers ran in a request, and what they cost: in the header and on the page."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse
from django.tasks import task
from django.test import Client
from django.urls import include, path

from apps.accounts.models import User
from apps.core import watch
from apps.core.dispatch import receiver
from apps.core.jobs import hand_off
from apps.signal_map import tracing

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("connections_as_before", "traced", "jobs_in_process"),
]
PAGE = "/admin/signals/"


@task
def count_groups() -> int:
    return Group.objects.count()


def save(request: HttpRequest, secret: str) -> HttpResponse:
    Group.objects.create(name="staff")
    return HttpResponse(headers={"Server-Timing": "view;dur=1"})


urlpatterns = [path("save/<str:secret>/", save), path("", include("config.urls"))]


def connect() -> None:
    @receiver(post_save, sender=Group)
    def count_twice(sender: Any, **kwargs: Any) -> None:
        """Count <b>twice</b>."""
        Permission.objects.count()
        Permission.objects.count()

    @receiver(post_save, sender=Group, after_commit=True)
    def later(sender: Any, pk: int, using: str, **kwargs: Any) -> None:
        """Hand a job off."""
        hand_off(count_groups, using=using)


def timings(header: str) -> dict[str, str]:
    return dict(re.findall(r'([\w.-]+);dur=\d+\.\d;desc="[\w.-]+: ([^"]*)"', header))


def test_the_header_names_receivers_and_jobs_with_their_queries() -> None:
    connect()
    header = Client().get("/save/secret/").headers["Server-Timing"]
    assert header.startswith("view;dur=1, receivers;dur=")
    assert timings(header) == {
        "receivers": "3 calls, 3 queries",
        "count_twice": "1 call, 2 queries",
        "later": "1 call, 1 query",
        "count_groups": "1 call, 1 query",
    }
    (trace,) = tracing.kept_traces()
    assert (trace.method, trace.route, trace.status) == ("GET", "/save/<str:secret>/", 200)


def test_switched_off_nothing_is_timed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connect()
    settings.SIGNAL_TRACING = False
    monkeypatch.setattr(watch, "watcher", None)
    answer = Client().get("/save/secret/")
    assert answer.headers["Server-Timing"] == "view;dur=1"
    assert tracing.kept_traces() == []


def test_the_page_shows_receivers_and_the_last_requests_to_the_staff() -> None:
    connect()
    stranger, staff = Client(), Client()
    assert stranger.get(PAGE).headers["Location"].startswith("/admin/login/")
    stranger.force_login(User.objects.create_user("grace"))
    assert stranger.get(PAGE).status_code == 302
    staff.force_login(User.objects.create_user("ada", is_staff=True))
    assert f'<a href="{PAGE}">' in staff.get("/admin/").text
    staff.get("/save/secret/")
    text = staff.get(PAGE).text
    for part in ("auth.Group", "Count &lt;b&gt;twice&lt;/b&gt;.", "job count_groups", "(django)"):
        assert part in text
    assert "GET /save/&lt;str:secret&gt;/" in text
    assert "Count &lt;b&gt;twice" not in staff.get(f"{PAGE}?signal=post_migrate").text
