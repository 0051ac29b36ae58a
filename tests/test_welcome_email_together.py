"""The welcome mail with jobs in a worker: one mail, also when a mail server or a process fails."""

import re
from pathlib import Path

from tests.support.bakery import Bakery
from tests.support.project import BakedProject
from tests.support.template import TEMPLATE

SETUP = """
import os
from datetime import timedelta
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from apps.accounts.models import User
from apps.handoff.models import Handoff
from apps.handoff.testing import work_off
from apps.welcome_email.models import CLAIM_EXPIRES_AFTER, Welcome

REACHABLE = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

def work() -> None:
    long_ago = timezone.now() - timedelta(days=1)
    Handoff.objects.exclude(due_at=None).update(due_at=long_ago)
    work_off()
    welcome = Welcome.objects.get()
    print(Handoff.objects.get(name__endswith="send_welcome").status, end=" ")
    print("sent" if welcome.sent_at else "due", welcome.attempts, welcome.last_error)
"""

REFUSED = """
User.objects.create_user("ada", "ada@example.com")
work()  # no server listens at the port of the mail server
with override_settings(MAILERS=REACHABLE):
    work()
"""

KILLED = """
def die(*args):
    print("in a transaction" if connection.in_atomic_block else "committed", flush=True)
    os._exit(9)

EmailBackend.send_messages = die
User.objects.create_user("ada", "ada@example.com")
with override_settings(MAILERS=REACHABLE):
    work()
"""

AFTERWARDS = """
with override_settings(MAILERS=REACHABLE):
    work()
    Welcome.objects.update(claimed_at=timezone.now() - CLAIM_EXPIRES_AFTER - timedelta(seconds=1))
    work()
"""


def run(project: BakedProject, folder: Path, script: str) -> list[str]:
    """Run a script of a project with jobs in a worker; return what it has printed."""
    variables = {
        "DATABASE_URL": f"sqlite:///{folder / 'database.sqlite3'}",
        "CELERY_BROKER_URL": "memory://",
        "EMAIL_URL": "smtp://127.0.0.1:1",
    }
    migrated = project.run("python", "manage.py", "migrate", "-v0", **variables)
    assert migrated.returncode == 0, migrated.stderr
    done = project.run("python", "manage.py", "shell", "-v0", "-c", SETUP + script, **variables)
    assert done.returncode in (0, 9), done.stderr
    return done.stdout.splitlines()


def test_what_the_mail_server_said_is_kept_and_the_job_is_tried_again(
    bakery: Bakery, tmp_path: Path
) -> None:
    refused, sent = run(bakery.project(TEMPLATE.all_on()), tmp_path, REFUSED)
    assert re.fullmatch(r"waiting due 1 ConnectionRefusedError\(.+\)", refused)
    assert sent.rstrip() == "done sent 1"


def test_a_mail_is_not_sent_twice_when_its_process_dies(bakery: Bakery, tmp_path: Path) -> None:
    """The claim outlives the process; the job comes back until it has expired."""
    project = bakery.project(TEMPLATE.all_on())
    assert run(project, tmp_path, KILLED) == ["committed"]
    waiting, sent = run(project, tmp_path, AFTERWARDS)
    assert waiting.rstrip() == "waiting due 0"
    assert sent.rstrip() == "done sent 0"
