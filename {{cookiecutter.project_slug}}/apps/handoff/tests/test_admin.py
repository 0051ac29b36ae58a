"""The outbox in the admin: to read, to run again and to discard, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.handoff.models import Handoff, Status

from .rows import row

pytestmark = pytest.mark.django_db

LIST = "/admin/handoff/handoff/"


@pytest.fixture
def reader(client: Client) -> Client:
    """Log in a member of the staff who may look at jobs, and nothing else."""
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_handoff"))
    client.force_login(user)
    return client


def page_of(job: Handoff) -> str:
    return reverse("admin:handoff_handoff_change", args=[job.pk])


def act(client: Client, action: str, *jobs: Handoff) -> str:
    chosen = {"action": action, "_selected_action": [str(job.pk) for job in jobs], "index": "0"}
    return client.post(LIST, chosen, follow=True).text


def test_jobs_cannot_be_added_changed_or_deleted_by_hand(admin_client: Client) -> None:
    job = row(Status.DONE)
    for url in (f"{LIST}add/", f"{LIST}{job.pk}/delete/"):
        assert admin_client.get(url).status_code == 403
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert admin_client.post(page_of(job), {"name": "other"}).status_code == 403
    assert "delete_selected" not in admin_client.get(LIST).text


def test_the_list_counts_jobs_and_shows_how_they_stand(reader: Client) -> None:
    row(Status.WAITING, due_at=timezone.now() - timedelta(minutes=3, seconds=10))
    row(Status.FAILED, error="builtins.ValueError", attempts=9)
    text = reader.get(LIST).text
    for status in Status:
        number = int(status in (Status.WAITING, Status.FAILED))
        assert f'<dt>{status.label}</dt><dd><a href="?status__exact={status}">{number}</a>' in text
    assert "3 min 10 s" in text
    for shown in ("orders.send", "Waiting", "Failed", "ValueError", "<td", "9</td>"):
        assert shown in text


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


def test_a_filter_by_a_name_with_nul_finds_nothing(reader: Client) -> None:
    """PostgreSQL takes it in a text for an error."""
    row(Status.DONE)
    assert reader.get(f"{LIST}?name=%00").context["cl"].result_count == 0


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
    for shown in ("ada", "builtins.ValueError", "Traceback &lt;here&gt;", "Failed"):
        assert shown in text
    ada.delete()
    assert "(deleted since)" in reader.get(page_of(job)).text


def test_a_job_whose_actor_has_a_key_of_another_type_is_shown(reader: Client) -> None:
    assert "no key (deleted since)" in reader.get(page_of(row(Status.DONE, actor="no key"))).text


def test_failed_jobs_run_again(admin_client: Client) -> None:
    failed, done = row(Status.FAILED, attempts=9), row(Status.DONE)
    text = act(admin_client, "retry", failed, done)
    failed.refresh_from_db()
    done.refresh_from_db()
    assert (failed.status, failed.attempts, failed.failed_at) == (Status.WAITING, 0, None)
    assert failed.due_at is not None
    assert done.status == Status.DONE
    assert "1 job will run again." in text
    assert "1 job left alone, because it has not failed." in text
    assert LogEntry.objects.get().object_id == str(failed.pk)


def test_jobs_that_have_not_begun_are_discarded(admin_client: Client) -> None:
    gone = [row(status) for status in (Status.WAITING, Status.SENT, Status.FAILED)]
    kept = [row(status) for status in (Status.RUNNING, Status.DONE)]
    text = act(admin_client, "discard", *gone, *kept)
    # Others may hand jobs off for the user who is logged in.
    assert set(Handoff.objects.filter(name="apps.orders.tasks.send")) == set(kept)
    assert "3 jobs discarded." in text
    assert "2 jobs left alone: each is running or done." in text
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_who_may_only_look_can_do_nothing(reader: Client, action: str) -> None:
    job = row(Status.FAILED)
    assert f'value="{action}"' not in reader.get(LIST).text
    assert f'value="{action}"' not in reader.get(page_of(job)).text
    act(reader, action, job)
    job.refresh_from_db()
    assert job.status == Status.FAILED


def test_the_page_of_a_job_offers_what_can_be_done(admin_client: Client) -> None:
    buttons = {
        status: {
            action
            for action in ("retry", "discard")
            if f'value="{action}"' in admin_client.get(page_of(row(status))).text
        }
        for status in Status
    }
    assert buttons == {
        Status.WAITING: {"discard"},
        Status.SENT: {"discard"},
        Status.RUNNING: set(),
        Status.DONE: set(),
        Status.FAILED: {"retry", "discard"},
    }


def test_it_takes_the_permission_to_see_jobs(reader: Client) -> None:
    job = row(Status.DONE)
    Permission.objects.get(codename="view_handoff").delete()
    assert reader.get(LIST).status_code == 403
    assert reader.get(page_of(job)).status_code == 403
