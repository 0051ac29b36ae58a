"""Tables for the example models, which exist for the tests of this module only."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.test import override_settings

from apps.audit import registry, triggers

EXAMPLES = "apps.audit.tests.examples"


def remembered() -> dict[Any, Any]:
    return registry._registered.copy()


def bring_back(before: dict[Any, Any]) -> None:
    registry._registered.clear()
    registry._registered.update(before)
    registry.forget_what_was_derived()


@pytest.fixture
def restored() -> Iterator[None]:
    """Forget what a test has registered."""
    before = remembered()
    yield
    bring_back(before)


@contextmanager
def audited(models: Sequence[type[Model]], blocker: Any) -> Iterator[None]:
    """Create tables, audit the models, and take it all back in the end."""
    before = remembered()
    with blocker.unblock():
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        for model in models:
            if model.__name__ not in ("Restaurant", "Membership"):
                registry.register(model)
        triggers.install(connection)
        with blocker.block():
            yield
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)
    bring_back(before)


@pytest.fixture(scope="package", autouse=True)
def examples(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Install the example models, each after those that it points to."""
    from .examples import models as m

    tables = [
        *(m.Author, m.Tag, m.Article, m.Note, m.Review, m.Club, m.Membership),
        *(m.Place, m.Restaurant, m.Hotel),
    ]
    with (
        override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, EXAMPLES]),
        audited(tables, django_db_blocker),
    ):
        yield
