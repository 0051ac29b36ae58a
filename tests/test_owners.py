"""The tests of a project pass after the usual changes of its first days.

test_first_day.py runs all of a project's tests on PostgreSQL, with the other servers.
"""

import re

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.project import BakedProject

pytestmark = pytest.mark.whole

CLASS = 'class User(AbstractUser):\n    """A person who can log in."""\n'
FIELDS = """
    born_on = models.DateField(null=True, blank=True)
    nickname = models.CharField(max_length=50, default="", blank=True)
    manager = models.ForeignKey("self", models.SET_NULL, null=True, blank=True)
"""


UNIQUE_USERNAME = 'models.UniqueConstraint(Lower("username"), name="accounts_user_one_username")'
BY_ADDRESS = """
    username = None
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
"""

WALK = """
import re
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.apps import apps
from apps.accounts.models import User
from apps.taskboard.models import Project, Task

PASSWORD = "a long pass phrase"
client = Client(headers={"host": "localhost"})

def get(page, status=200):
    answer = client.get(page)
    print(page, answer.status_code)
    assert answer.status_code == status, answer
    return answer.text

def post(page, status=302, **data):
    answer = client.post(page, data)
    print(page, answer.status_code)
    assert answer.status_code == status, answer.text
    return answer

assert 'name="email"' in get("/accounts/signup/")
new = {"password1": PASSWORD, "password2": PASSWORD}
post("/accounts/signup/", email="grace@example.com", **new)
assert "This field is required" in post("/accounts/signup/", 200, **new).text
assert "already exists" in post("/accounts/signup/", 200, email="grace@example.com", **new).text
post("/accounts/logout/")
post("/accounts/login/", username="grace@example.com", password=PASSWORD)
grace = User.objects.get()
for page in ("/", "/profile/", "/taskboard/", "/accounts/password_change/"):
    assert "Log out grace@example.com" in get(page)
task = Task.objects.create(project=Project.objects.create(name="A"), title="B", creator=grace)
assert "<span>grace@example.com</span>" in get(task.get_absolute_url() + "?name=GRACE")
post(task.get_absolute_url(), action="assign", person=grace.pk)
assert "<span>grace@example.com</span>" in get(task.get_absolute_url())
get(task.project.get_absolute_url())

grace.is_staff = grace.is_superuser = True
grace.save()
get("/admin/")
listed = []
for model in apps.get_models():
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    try:
        page = reverse(f"admin:{name}_changelist")
    except Exception:
        continue
    listed.append(name)
    get(f"{page}?q=grace")
    get(page)
assert {"accounts_user", "taskboard_notification", "welcome_email_welcome"} <= set(listed)
added = {"email": "ada@example.com", "usable_password": "true", **new}
post("/admin/accounts/user/add/", **added)
ada = User.objects.get(email="ada@example.com")
assert ada.check_password(PASSWORD)
for page in (f"/admin/accounts/user/{ada.pk}/change/", f"/admin/accounts/user/{ada.pk}/history/"):
    get(page)
post("/accounts/password_reset/", email="ada@example.com")
"""


def change(project: BakedProject, file: str, old: str, new: str) -> None:
    """Replace a piece of a file."""
    text = project.read(file)
    assert old in text, f"{file} no longer holds {old!r}"
    (project.path / file).write_text(text.replace(old, new), encoding="utf-8")


def test_the_tests_of_a_project_pass_in_another_language(all_on: BakedProject) -> None:
    """An owner may set LANGUAGE_CODE on the first day, and they must still pass."""
    change(all_on, "config/settings.py", 'LANGUAGE_CODE = "en-us"', 'LANGUAGE_CODE = "de"')
    expect_none(commands.own_tests(all_on))


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Kiritimati"])
def test_the_tests_pass_in_another_time_zone(all_on: BakedProject, zone: str) -> None:
    """One zone is half an hour off, the other is a day ahead."""
    change(all_on, "config/settings.py", 'TIME_ZONE = "UTC"', f'TIME_ZONE = "{zone}"')
    expect_none(commands.own_tests(all_on))


def test_the_tests_pass_with_a_second_kind_of_jobs(all_on: BakedProject) -> None:
    path = all_on.path / "config" / "settings.py"
    more = 'TASKS["reports"] = {"BACKEND": "apps.core.jobs.AfterCommitBackend"}\n'
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    expect_none(commands.own_tests(all_on))


def test_the_tests_pass_with_further_fields_of_the_user(all_on: BakedProject) -> None:
    """One that may be empty, one with a default, and a reference."""
    change(all_on, "apps/accounts/models.py", CLASS, CLASS + FIELDS)
    expect_none(all_on.faults_of("python", "manage.py", "makemigrations", "accounts"))
    expect_none(commands.own_tests(all_on))


def test_the_tests_pass_in_several_processes(all_on: BakedProject) -> None:
    expect_none(commands.own_tests(all_on, options=["-n", "2"]))


def test_people_may_log_in_with_their_address(all_on: BakedProject, empty_database: str) -> None:
    """No page names the field ``username``, which the user model then no longer has.

    One constraint does.
    """
    name = "apps/accounts/models.py"
    change(all_on, name, f"            {UNIQUE_USERNAME},\n", "")
    file = all_on.path / "apps/accounts/models.py"
    text = all_on.read("apps/accounts/models.py")
    head, body, rest = re.split(r"^(class User\(.+\):\n)", text, flags=re.MULTILINE)
    file.write_text(f"{head}{body}{BY_ADDRESS}{rest}", encoding="utf-8")
    database = {"DATABASE_URL": empty_database}
    for command in ("makemigrations accounts", "migrate -v0", "check --fail-level WARNING"):
        expect_none(all_on.faults_of("python", "manage.py", *command.split(), **database))
    variables = {**database, "EMAIL_URL": "memorymail://", "CELERY_BROKER_URL": "memory://"}
    expect_none(all_on.faults_of("python", "manage.py", "shell", "-c", WALK, **variables))
