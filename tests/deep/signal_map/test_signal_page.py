"""The page "Signals" of the admin: complete, for the staff only, and within the project's policy."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models.signals import post_save
from django.test import Client

from apps.accounts.models import User
from apps.core import watch
from apps.core.dispatch import receiver

from . import leading, listening

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("connections_as_before", "traced"),
]
URL = "/admin/signals/"


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("ada", is_staff=True))
    return client


def test_it_is_for_the_staff_only() -> None:
    stranger, known = Client(), Client()
    known.force_login(User.objects.create_user("grace"))
    for client in (stranger, known):
        answer = client.get(URL)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")


def test_the_admin_links_to_it_for_the_staff(staff: Client) -> None:
    assert f'<a href="{URL}">Signals</a>' in staff.get("/admin/").text
    assert URL not in Client().get("/admin/login/").text


def test_it_shows_every_receiver_with_its_place_and_its_end(staff: Client) -> None:
    receiver(post_save, sender=Group, after_commit=True)(leading.directly)
    post_save.connect(listening.undocumented, sender=Group)
    text = " ".join(staff.get(URL).text.split())
    row = text[text.index("<td") :]
    for part in (
        "auth.Group",
        "after commit",
        "<strong>directly</strong>",
        "apps/signal_map/tests/deep/leading.py:",
        "Hand a job off.",
        "job near_job",
        "<strong>undocumented</strong> (connect())",
        "(no docstring)",
        "<strong>update_last_login</strong> (django)",
    ):
        assert part in row
    graph = text[text.index('class="signals-tree"') : text.index("</section>")]
    assert "auth.Group" in graph
    assert re.search(r'href="#receiver-\d+" class="signals-box signals-later"> directly ', graph)
    assert "near_job" in graph


def test_links_of_the_graph_lead_to_rows_of_the_table(staff: Client) -> None:
    text = staff.get(URL).text
    linked = re.findall(r'href="#(receiver-\d+)"', text)
    rows = re.findall(r'<tr role="row" id="(receiver-\d+)"', text)
    assert set(linked) == set(rows) != set()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("sender=auth.Group", True),
        ("signal=post_save&app=auth", True),
        ("signal=post_migrate", False),
        ("signal=post_migrate&sender=auth.Group", False),
        ("signal=no-such-thing", True),
    ],
)
def test_it_can_be_filtered(staff: Client, query: str, shown: bool) -> None:
    receiver(post_save, sender=Group)(listening.documented)
    answer = staff.get(f"{URL}?{query}")
    assert answer.status_code == 200
    assert ("<strong>documented</strong>" in answer.text) is shown


def test_it_shows_the_last_requests(staff: Client) -> None:
    @receiver(post_save, sender=Group)
    def count(sender: Any, **kwargs: Any) -> None:
        """Count users."""
        User.objects.count()

    staff_admin = User.objects.get(username="ada")
    staff_admin.is_superuser = True
    staff_admin.save()
    answer = staff.post("/admin/auth/group/add/", {"name": "editors"})
    assert answer.status_code == 302
    text = " ".join(staff.get(URL).text.split())
    section = text[text.index('id="requests"') :]
    assert "POST /admin/auth/group/add/" in section
    assert answer.headers["X-Request-ID"] in section
    row = section[section.index("<strong>count</strong>") :]
    assert "post_save of auth.Group" in row
    assert re.search(r'data-label="Queries" class="signals-number">1<', row)


def test_the_last_requests_follow_the_filter(staff: Client) -> None:
    receiver(post_save, sender=Group)(listening.documented)
    receiver(post_save, sender=User)(listening.undocumented)  # so that the filter has this sender
    User.objects.filter(username="ada").update(is_superuser=True)
    staff.post("/admin/auth/group/add/", {"name": "editors"})
    found, other, none = (
        staff.get(f"{URL}?{query}").text.partition('id="requests"')[2]
        for query in ("sender=auth.Group", "sender=accounts.User", "signal=post_migrate")
    )
    assert "<strong>documented</strong>" in found
    assert "<strong>documented</strong>" not in other
    assert "No receiver of this filter has run" in none


def test_a_custom_signal_is_drawn_to_its_receivers(staff: Client) -> None:
    receiver(post_save, sender=Group)(leading.sends)
    receiver(leading.finished)(listening.documented)
    text = " ".join(staff.get(f"{URL}?sender=auth.Group").text.split())
    graph = text[text.index('class="signals-tree"') : text.index("</section>")]
    before, _, after = graph.partition("finished <")
    assert "> sends " in before
    assert "> documented " in after


def test_it_says_when_nothing_is_timed(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No receiver that is connected with the kit has run" in staff.get(URL).text
    monkeypatch.setattr(watch, "watcher", None)
    assert "<code>SIGNAL_TRACING</code> is off" in staff.get(URL).text


def test_it_keeps_the_content_security_policy(staff: Client) -> None:
    answer = staff.get(URL)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\bstyle=|\bon\w+=|javascript:", answer.text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)
    sources = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', answer.text)
    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)


def test_what_people_wrote_is_escaped(staff: Client) -> None:
    def listen(sender: Any, **kwargs: Any) -> None:
        """Do <b>that</b>."""

    post_save.connect(listen, sender=Group, weak=False)
    assert "Do &lt;b&gt;that&lt;/b&gt;." in staff.get(URL).text


@pytest.mark.parametrize("debug", [True, False])
def test_the_home_page_lists_receivers_in_development_only(
    client: Client, settings: Any, debug: bool
) -> None:
    @receiver(post_save, sender=Group, after_commit=True)
    def count(sender: Any, **kwargs: Any) -> None:
        """Count <groups>."""

    settings.DEBUG = debug
    text = client.get("/").text
    assert ("<code>auth.Group</code>" in text) is debug
    assert ("Count &lt;groups&gt;." in text) is debug
