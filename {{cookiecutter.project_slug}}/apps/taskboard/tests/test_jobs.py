"""Jobs are handed off to whatever backend the project uses, and can run more than once."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.module_loading import import_string

from apps.accounts.models import User
from apps.core.jobs import TransactionalBackend
from apps.taskboard.models import Notification, Task
from apps.taskboard.tasks import announce_overdue, discard_file, mail_notification

from .helpers import confirm_addresses

pytestmark = pytest.mark.django_db
CONFIGURED = project_settings.TASKS


@pytest.fixture
def notification(grace: User, task: Task) -> Notification:
    confirm_addresses()
    return Notification.objects.create(user=grace, task=task, text="Read\nthis.")


@pytest.mark.django_db(transaction=True)
def test_handing_off_runs_in_process_after_the_commit(grace: User, mailoutbox: list[Any]) -> None:
    confirm_addresses()
    with transaction.atomic():
        Notification.objects.create(user=grace, text="Read this.")
        assert mailoutbox == []
    assert [mail.to for mail in mailoutbox] == [["grace@example.com"]]


@pytest.mark.django_db(transaction=True)
def test_bulk_writes_are_heard_and_mailed_one_by_one(grace: User, mailoutbox: list[Any]) -> None:
    confirm_addresses()
    told = [Notification(user=grace, text=text) for text in ("Read this.", "And this.")]
    Notification.objects.bulk_create(told)
    assert [mail.subject for mail in mailoutbox] == ["Read this.", "And this."]


def test_handing_off_fits_the_backend_of_the_project(settings: Any) -> None:
    """The project's own backend waits for the commit too, and takes the jobs as they are."""
    assert issubclass(import_string(CONFIGURED["default"]["BACKEND"]), TransactionalBackend)
    settings.TASKS = CONFIGURED
    for job in (mail_notification, discard_file, announce_overdue):
        backend = job.get_backend()
        assert isinstance(backend, TransactionalBackend)
        backend.validate_task(job)


def test_a_job_that_runs_twice_mails_once(
    notification: Notification, mailoutbox: list[Any]
) -> None:
    for _ in range(2):
        mail_notification.call(notification.pk, using="default")
    (mail,) = mailoutbox
    assert (mail.subject, mail.body) == ("Read this.", "Read\nthis.")


def test_a_file_is_discarded_unless_a_task_has_it(task: Task, files: Path) -> None:
    name = default_storage.save("tasks/notes.txt", ContentFile("notes"))
    Task.objects.update(attachment=name)
    discard_file.call(name, using="default")
    assert default_storage.exists(name)
    Task.objects.update(attachment="")
    for _ in range(2):
        discard_file.call(name, using="default")
    assert not default_storage.exists(name)


def test_the_periodic_job_announces_an_overdue_task_once(task: Task) -> None:
    Task.objects.update(due_on=date(2026, 1, 2))
    assert [announce_overdue.call(using="default") for _ in range(2)] == [1, 0]
