"""Modules that somebody might add, of kinds that the example in CONTRIBUTING.md is not."""

from typing import Any

from tests.support.contributing import Addition
from tests.support.template import TEMPLATE

APPS = f"{TEMPLATE.source.name}/apps"

CONFIGURATION = """\
from apps.core import modules


class {name}Config(modules.ModuleConfig):
    name = "apps.{module}"
    summary = "{summary}"
"""
TEST = '''\
"""What the README promises."""

from django.apps import apps


def test_the_app_is_installed() -> None:
    assert apps.is_installed("apps.{module}")
'''
MODELS = '''\
"""Pages that people want to find again."""

from django.conf import settings
from django.db import models


class Bookmark(models.Model):
    """A page that a user wants to find again."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    url = models.URLField()

    def __str__(self) -> str:
        return self.url
'''
MIGRATION = """\
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Bookmark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("url", models.URLField()),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
    ]
"""
RECEIVERS = '''\
"""Receivers of the bookmarks."""

import logging
from typing import Any

from django.db.models.signals import post_save

from apps.core.dispatch import receiver

from .models import Bookmark

logger = logging.getLogger(__name__)


@receiver(post_save, sender=Bookmark, after_commit=True)
def log_bookmark(sender: Any, pk: int, **kwargs: Any) -> None:
    """Write a line to the log for every bookmark, after the commit."""
    logger.info("Bookmark %s saved.", pk)
'''
VIEWS = '''\
from django.http import HttpRequest, HttpResponse


def index(request: HttpRequest) -> HttpResponse:
    """Say how many there are."""
    return HttpResponse("None so far.", content_type="text/plain")
'''
URLS = """\
from django.urls import path

from .views import index

app_name = "{module}"
urlpatterns = [path("", index, name="index")]
"""


def addition(
    module: str,
    question: str,
    entry: dict[str, Any],
    files: dict[str, str],
    *shared: str,
) -> Addition:
    """Return a module with its folder, its README and its entries.

    Args:
        module: its name.
        question: the text of its prompt, behind its name.
        entry: what the registry says of it, less its summary.
        files: more files of its folder.
        shared: files of the project that have lines of it.
    """
    name = "".join(word.capitalize() for word in module.split("_"))
    summary = "A module that somebody made."
    edited = ", ".join(f"`{file}`" for file in ("config/settings.py", "README.md", *shared))
    own = {
        "__init__.py": "",
        "apps.py": CONFIGURATION.format(module=module, name=name, summary=summary),
        "README.md": f"# {module}\n\n{summary}\n\n## Taking it out\n\n"
        f"1. Delete the folder `apps/{module}`.\n2. Delete its lines in {edited}.\n",
        "tests/__init__.py": "",
        f"tests/test_{module}.py": TEST.format(module=module),
        **files,
    }
    changes = {
        module: False,
        "__prompts__": {module: f"{module}: {question}"},
        "_modules": {module: {"summary": summary, "listens_to": "–", **entry}},
    }
    return Addition({f"{APPS}/{module}/{file}": text for file, text in own.items()}, changes)


def with_a_document(other: Addition, path: str) -> Addition:
    """Let a module have a page outside its folder."""
    text = f"# More about {other.module}\n\nNothing yet.\n"
    return Addition(other.files | {f"{TEMPLATE.source.name}/{path}": text}, other.changes)


SMALL = addition("fortune", "a saying", {}, {})

WITH_TABLES = addition(
    "bookmarks",
    "pages that people want to find again",
    {
        "listens_to": "post_save of its model",
        "url": "bookmarks/",
        "contributes": {"AUDITED_MODELS": ['"bookmarks.Bookmark"']},
    },
    {
        "models.py": MODELS,
        "migrations/__init__.py": "",
        "migrations/0001_initial.py": MIGRATION,
        "receivers.py": RECEIVERS,
        "apps.py": CONFIGURATION.format(
            module="bookmarks", name="Bookmarks", summary="A module that somebody made."
        )
        + "\n    def ready(self) -> None:\n        from . import receivers  # noqa: F401\n",
        "views.py": VIEWS,
        "urls.py": URLS.format(module="bookmarks"),
    },
    "config/urls.py",
)

WITH_EVERYTHING = with_a_document(
    addition(
        "request_limits_of_the_api_2",
        "at most so many requests",
        {
            "url": "limits/of-the-api/",
            "paths": ["docs/request-limits.md"],
            "dependencies": ["markdown-it-py==4.3.0"],
            "constraints": ["mdurl==0.1.2"],
            "settings": {
                "REQUEST_LIMIT": {
                    "comment": "So many requests a minute are answered.",
                    "lines": ['REQUEST_LIMIT = env.read("REQUEST_LIMIT", env.number, 60, "60")'],
                },
            },
            "environment": {
                "REQUEST_LIMIT": {"comment": "Requests a minute (default: 60).", "example": "600"}
            },
        },
        {"views.py": VIEWS, "urls.py": URLS.format(module="request_limits_of_the_api_2")},
        "config/urls.py",
        "pyproject.toml",
        ".env.example",
        "docs/request-limits.md",
    ),
    "docs/request-limits.md",
)

INVENTIONS = [SMALL, WITH_TABLES, WITH_EVERYTHING]
