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


def register(model: type[Model] | str, **options: Any) -> None:
    """Audit a model, as a start of the project and ``migrate`` do."""
    registry.register(model, **options)
    # PostgreSQL takes no trigger off a table with foreign keys that it has yet to look at.
    connection.check_constraints()
    triggers.install(connection)


def remembered() -> dict[Any, Any]:
    return registry._registered.copy()


def bring_back(before: dict[Any, Any]) -> None:
    registry._registered.clear()
    registry._registered.update(before)
    registry.forget_what_was_derived()


@contextmanager
def before_the_trail() -> Iterator[None]:
    """Write without triggers, as before a model was audited."""
    connection.check_constraints()
    triggers.Triggers(connection).drop()
    yield
    connection.check_constraints()
    triggers.install(connection)


@pytest.fixture
def restored(db: None) -> Iterator[None]:
    """Forget what a test has registered; triggers go with its transaction, if it has one."""
    before = remembered()
    yield
    bring_back(before)
    if not connection.in_atomic_block:
        triggers.install(connection)


@contextmanager
def audited(
    models: Sequence[type[Model]], blocker: Any, unaudited: Sequence[type[Model]] = ()
) -> Iterator[None]:
    """Create tables, audit the models, and take it all back in the end."""
    before = remembered()
    with blocker.unblock():
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        for model in models:
            if model not in unaudited:
                registry.register(model)
        triggers.install(connection)
        with blocker.block():
            yield
        bring_back(before)
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)
        triggers.install(connection)


@pytest.fixture(scope="package", autouse=True)
def examples(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Install the example models, each after those that it points to."""
    from .examples.models import Article, Author, Tag

    installed = [*settings.INSTALLED_APPS, "apps.audit.tests.examples"]
    tables = audited([Author, Tag, Article], django_db_blocker)
    with override_settings(INSTALLED_APPS=installed), tables:
        yield
