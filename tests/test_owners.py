"""What the owner of a project changes in its first days leaves its tests green.

PostgreSQL, with the other servers, is in test_first_day.py.
"""

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


def change(project: BakedProject, file: str, old: str, new: str) -> None:
    """Replace a piece of a file."""
    text = project.read(file)
    assert old in text, f"{file} no longer holds {old!r}"
    (project.path / file).write_text(text.replace(old, new), encoding="utf-8")


def test_the_tests_of_a_project_pass_in_another_language(all_on: BakedProject) -> None:
    """Whoever sets LANGUAGE_CODE on the first day must not find them broken."""
    change(all_on, "config/settings.py", 'LANGUAGE_CODE = "en-us"', 'LANGUAGE_CODE = "de"')
    expect_none(commands.own_tests(all_on))


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Kiritimati"])
def test_the_tests_pass_in_another_time_zone(all_on: BakedProject, zone: str) -> None:
    """Half an hour beside the others, or a day ahead."""
    change(all_on, "config/settings.py", 'TIME_ZONE = "UTC"', f'TIME_ZONE = "{zone}"')
    expect_none(commands.own_tests(all_on))


def test_the_tests_pass_with_a_second_kind_of_jobs(all_on: BakedProject) -> None:
    path = all_on.path / "config" / "settings.py"
    more = 'TASKS["reports"] = {"BACKEND": "apps.core.jobs.AfterCommitBackend"}\n'
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    expect_none(commands.own_tests(all_on))


def test_the_tests_pass_with_further_fields_of_the_user(all_on: BakedProject) -> None:
    """One that may be empty, one with a default, and a reference."""
    file, imports = "apps/accounts/models.py", "from django.db import "
    change(all_on, file, CLASS, CLASS + FIELDS)
    change(all_on, file, imports, f"{imports}models, ")
    expect_none(all_on.faults_of("python", "manage.py", "makemigrations", "accounts"))
    expect_none(commands.own_tests(all_on))


def test_the_tests_pass_in_several_processes(all_on: BakedProject) -> None:
    expect_none(commands.own_tests(all_on, options=["-n", "2"]))
