"""The outbox in the admin: to read, to run again and to discard, and nothing else."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.handoff.models import Handoff, Status

from ..rows import row
from ..test_admin import page_of, reader

pytestmark = pytest.mark.django_db

LIST = "/admin/handoff/handoff/"


def test_jobs_cannot_be_added_changed_or_deleted_by_hand(admin_client: Client) -> None:
    job = row(Status.DONE)
    for url in (f"{LIST}add/", f"{LIST}{job.pk}/delete/"):
        assert admin_client.get(url).status_code == 403
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert admin_client.post(page_of(job), {"name": "other"}).status_code == 403
    assert "delete_selected" not in admin_client.get(LIST).text


def test_the_list_asks_as_many_queries_for_many_jobs_as_for_one(
    reader: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        row(Status.DONE)
    with django_assert_max_num_queries(16):
        reader.get(LIST)


def test_filters_and_search(reader: Client) -> None:
    row(Status.DONE, name="apps.orders.tasks.send", arguments="[[41], {}]")
    failed = row(Status.FAILED, name="apps.orders.tasks.bill", request_id="request-9")
    for query in (
        "status__exact=failed", "name=apps.orders.tasks.bill", "q=bill", f"q={failed.pk}",
        "q=request-9",
    ):  # fmt: skip
        found = reader.get(f"{LIST}?{query}").context["cl"].result_list
        assert [job.pk for job in found] == [failed.pk], query
    assert reader.get(f"{LIST}?q=41").context["cl"].result_count == 1


@pytest.mark.parametrize("query", ["name=%00", "queue=%00", "q=%00"])
def test_nul_in_a_filter_is_no_error(reader: Client, query: str) -> None:
    """PostgreSQL refuses NUL in a text, and the kit then answers 400."""
    answer = reader.get(f"{LIST}?{query}")
    is_refused = connection.vendor == "postgresql" and not query.startswith("q=")
    assert answer.status_code == (400 if is_refused else 200)


@pytest.mark.parametrize("status", Status)
def test_the_page_of_a_job_does_what_can_be_done(admin_client: Client, status: Status) -> None:
    job = row(status)

    def act(action: str) -> str:
        chosen = {"CHANGE_FORM-action": action, "_selected_action": str(job.pk)}
        return admin_client.post(page_of(job), chosen, follow=True).text

    assert ("Failed jobs that will run again: 1 of 1." in act("retry")) == (status == Status.FAILED)
    begun = status in (Status.RUNNING, Status.DONE)
    assert ("Discarded: 1 of 1 jobs." in act("discard")) != begun
    assert Handoff.objects.filter(pk=job.pk).exists() == begun


def test_it_takes_the_permission_to_see_jobs(reader: Client) -> None:
    job = row(Status.DONE)
    Permission.objects.get(codename="view_handoff").delete()
    assert reader.get(LIST).status_code == 403
    assert reader.get(page_of(job)).status_code == 403


def test_the_list_shows_jobs_and_the_longest_wait(reader: Client) -> None:
    row(Status.WAITING, due_at=timezone.now() - timedelta(minutes=3, seconds=10))
    then = timezone.now() - timedelta(hours=2, minutes=1)
    row(Status.FAILED, error="builtins.ValueError", attempts=9, handed_off_at=then)
    text = reader.get(LIST).text
    assert "Longest wait for a worker: 0:03:1" in text
    for shown in ("apps.orders.tasks.send", "2\xa0hours ago", "builtins.ValueError", "9</td>"):
        assert shown in text


def test_a_job_is_shown_with_its_call_its_actor_and_its_error(reader: Client) -> None:
    ada = User.objects.create_user("ada")
    job = row(
        Status.FAILED,
        arguments='[[5], {"copy": true}]',
        actor=str(ada.pk),
        error="builtins.ValueError",
        traceback="Traceback <here>",
    )
    text = reader.get(page_of(job)).text
    assert "apps.orders.tasks.send(5, copy=True)" in text
    for shown in (
        f'<div class="readonly">{ada.pk}</div>',
        "builtins.ValueError",
        "Traceback &lt;here&gt;",
        "Failed",
    ):
        assert shown in text
