"""Fixtures for all tests: the bakery, and copies of the template to break."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies

from tests.support.bakery import Bakery
from tests.support.project import BakedProject
from tests.support.services import require_services
from tests.support.template import CACHE_FOLDERS, PARTS, ROOT, TEMPLATE, Template

# Planted into projects, where they run: see tests/test_deep.py.
collect_ignore = ["deep"]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to bake caches into every project; never write bytecode into baked ones."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    caches = [path for path in TEMPLATE.source.rglob("*") if path.name in CACHE_FOLDERS]
    if caches and not hasattr(config, "workerinput"):
        pytest.exit(
            f"The template's folder holds caches, which would be baked, such as {caches[0]}."
            " Remove them with: make clean",
            returncode=2,
        )


def pytest_xdist_auto_num_workers() -> int:
    """Start one process more than there are processors: many tests wait for other programs."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def bakery(cookies_session: Cookies, run_folder: Path) -> Bakery:
    """Where baked projects come from."""
    return Bakery(cookies_session, run_folder / "bakery")


@pytest.fixture
def all_on(bakery: Bakery, tmp_path: Path) -> BakedProject:
    """A project with every module, for one test only.

    On SQLite its database is a file in its folder.
    """
    return bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.whole)])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each kind of database, as the URL of a new one; an empty URL means that of the settings."""
    if request.param == "SQLite":
        return ""
    require_services()
    return f"postgres://postgres@127.0.0.1:5432/template_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def empty_database(bakery: Bakery, database_url: str, tmp_path: Path) -> Iterator[str]:
    """Each kind of database, as the URL of an existing empty one."""
    if not database_url:
        yield f"sqlite:///{tmp_path / 'database.sqlite3'}"
        return
    project = bakery.project(TEMPLATE.all_on())
    server, _, name = database_url.rpartition("/")

    def execute(statement: str) -> None:
        connect = f"psycopg.connect({server + '/postgres'!r}, autocommit=True)"
        code = f"import psycopg\nwith {connect} as it: it.execute({statement!r})"
        done = project.run("python", "-c", code)
        assert done.returncode == 0, done.stderr

    execute(f'CREATE DATABASE "{name}"')
    yield database_url
    execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def copy_of_template(tmp_path: Path) -> Template:
    """A copy of the template, for a test to change."""
    return copied_template(tmp_path / "template")


def copied_template(folder: Path) -> Template:
    """Copy what makes up the template, and nothing else, into a new folder."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        copy: Callable[[Path, Path], object] = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part)
    return Template(folder)
