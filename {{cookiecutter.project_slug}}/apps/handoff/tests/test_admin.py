"""The outbox in the admin: to read, to run again and to discard, and nothing else."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

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


def test_jobs_are_listed_and_shown_with_their_calls_and_errors(reader: Client) -> None:
    ada = User.objects.create_user("ada")
    job = row(Status.FAILED, arguments='[[5], {"copy": true}]', actor=str(ada.pk))
    Handoff.objects.update(error="builtins.ValueError", traceback="Traceback <here>")
    page, text = reader.get(LIST).text, reader.get(page_of(job)).text
    assert "<h2>Longest wait for a worker: 0:00:00</h2>" in page
    assert "builtins.ValueError" in page
    for shown in (
        "apps.orders.tasks.send(5, copy=True)",
        f'<div class="readonly">{ada.pk}</div>',
        "Traceback &lt;here&gt;",
    ):
        assert shown in text


def test_failed_jobs_run_again(admin_client: Client) -> None:
    failed, done = row(Status.FAILED, attempts=9), row(Status.DONE)
    text = act(admin_client, "retry", failed, done)
    failed.refresh_from_db()
    done.refresh_from_db()
    assert (failed.status, failed.attempts, failed.failed_at) == (Status.WAITING, 0, None)
    assert failed.due_at is not None
    assert done.status == Status.DONE
    assert "Failed jobs that will run again: 1 of 2." in text
    assert LogEntry.objects.get().object_id == str(failed.pk)


def test_jobs_that_have_not_begun_are_discarded(admin_client: Client) -> None:
    gone = [row(status) for status in (Status.WAITING, Status.SENT, Status.FAILED)]
    kept = [row(status) for status in (Status.RUNNING, Status.DONE)]
    text = act(admin_client, "discard", *gone, *kept)
    # Others may hand jobs off for the user who is logged in.
    assert set(Handoff.objects.filter(name="apps.orders.tasks.send")) == set(kept)
    assert "Discarded: 3 of 5 jobs." in text
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_who_may_only_look_can_do_nothing(reader: Client, action: str) -> None:
    job = row(Status.FAILED)
    assert f'value="{action}"' not in reader.get(LIST).text
    assert f'value="{action}"' not in reader.get(page_of(job)).text
    act(reader, action, job)
    job.refresh_from_db()
    assert job.status == Status.FAILED
