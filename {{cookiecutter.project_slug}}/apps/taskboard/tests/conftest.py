"""People, a project and its tasks; jobs in the test's process, files in the test's folder."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.accounts.models import User
from apps.taskboard.models import Project, Task

from .helpers import Commit


@pytest.fixture(autouse=True)
def _jobs_in_process(jobs_in_process: None) -> None:
    """Run jobs in the test's process in every test."""


@pytest.fixture(autouse=True)
def files(settings: Any, tmp_path: Path) -> Path:
    """Keep attachments in a folder of the test's own, and return it."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media" / "tasks"


@pytest.fixture
def commit(django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Commit:
    """Return a block at whose end everything runs that waits for the commit."""
    return partial(django_capture_on_commit_callbacks, execute=True)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password="secret")


@pytest.fixture
def grace(db: None) -> User:
    return User.objects.create_user("grace", password="secret")


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(name="Analytical Engine")


@pytest.fixture
def task(project: Project, ada: User) -> Task:
    """An open task that ada has created."""
    return Task.objects.create(project=project, title="Write the program", creator=ada)
