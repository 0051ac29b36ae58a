"""Jobs are handed off to whatever backend the project uses, and can run more than once."""

from typing import Any

import pytest
from django.conf import settings as project_settings
from django.db import transaction
from django.utils.module_loading import import_string

from apps.accounts.models import User
from apps.core.jobs import TransactionalBackend
from apps.taskboard.models import Notification
from apps.taskboard.tasks import announce_overdue, discard_file, mail_notification

from .helpers import confirm_addresses

pytestmark = pytest.mark.django_db
CONFIGURED = project_settings.TASKS


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
    """The project's own backend waits for the commit too, and accepts the jobs unchanged."""
    assert issubclass(import_string(CONFIGURED["default"]["BACKEND"]), TransactionalBackend)
    settings.TASKS = CONFIGURED
    for job in (mail_notification, discard_file, announce_overdue):
        backend = job.get_backend()
        assert isinstance(backend, TransactionalBackend)
        backend.validate_task(job)
