"""A project beside packages that many projects use: each does its work, and so does the project."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.checks import commands
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.markdown import Document
from tests.support.packages import PACKAGES
from tests.support.project import BakedProject

pytestmark = pytest.mark.whole

PLANTED = Path(__file__).parent / "support" / "planted" / "beside.py"
SETTINGS = """
INSTALLED_APPS += [
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.dummy",
    "allauth.socialaccount.providers.google",
    "channels",
    "debug_toolbar",
    "guardian",
    "import_export",
    "rest_framework",
]
MIDDLEWARE += [
    "allauth.account.middleware.AccountMiddleware",
    "debug_toolbar.middleware.DebugToolbarMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "apps.accounts.backends.LimitedBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ACCOUNT_EMAIL_VERIFICATION = "none"
# It would be a user in every database, and tests count users.
ANONYMOUS_USER_NAME = None
REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]}
DEBUG_TOOLBAR_CONFIG = {
    "IS_RUNNING_TESTS": False,
    "SHOW_TOOLBAR_CALLBACK": lambda request: "toolbar" in request.GET,
}
"""
URLS = """

from rest_framework.routers import SimpleRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from apps.taskboard.models import Project


class ProjectSerializer(ModelSerializer):
    class Meta:
        model = Project
        fields = ("id", "name")


class ProjectView(ModelViewSet):
    queryset = Project.objects.all()
    serializer_class = ProjectSerializer


router = SimpleRouter()
router.register("projects", ProjectView)
urlpatterns += [
    path("social/", include("allauth.urls")),
    path("api/", include(router.urls)),
    path("__debug__/", include("debug_toolbar.urls")),
]
"""
# The part that the recipe of the consumer leaves to the reader.
CONSUMER = """
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from apps.core.actor import acting_as
from apps.taskboard.models import Project as Item


"""


def snippet(project: BakedProject, file: str, word: str) -> str:
    """Return the piece of Python of a document that holds a word."""
    fences = Document(project.read(file)).fences()
    (text,) = [each.text for each in fences if each.language == "python" and word in each.text]
    return text


@pytest.fixture
def beside(bakery: Bakery, all_on: BakedProject, tmp_path: Path) -> BakedProject:
    """A project with all modules, the packages, and tests of what they do together."""
    for file, more in (("config/settings.py", SETTINGS), ("config/urls.py", URLS)):
        path = all_on.path / file
        path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    tests = all_on.path / "apps" / "accounts" / "tests"
    for name, text in (
        ("test_beside", PLANTED.read_text(encoding="utf-8")),
        ("factories", snippet(all_on, "apps/profiles/README.md", "class UserFactory(")),
        ("consumers", CONSUMER + snippet(all_on, "docs/recipes.md", "class ItemConsumer(")),
    ):
        (tests / f"{name}.py").write_text(text, encoding="utf-8")
    return replace(all_on, environment=bakery.environment(PACKAGES))


def test_a_project_works_beside_the_packages(
    beside: BakedProject, tmp_path: Path, database_url: str
) -> None:
    """On either database."""
    file = f"sqlite:///{tmp_path / 'database.sqlite3'}"
    for command in ("check --fail-level WARNING", "migrate -v0", "makemigrations --check"):
        words = ("python", "manage.py", *command.split())
        expect_none(beside.faults_of(*words, DATABASE_URL=file))
    tested = {"DATABASE_URL": database_url} if database_url else {}
    expect_none(commands.own_tests(beside, variables=tested))
