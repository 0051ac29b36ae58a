"""Which signals each write of the ORM sends: a contract of Django that receivers rely on.

A version of Django that changes it fails here, and not in a receiver that is no longer called.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Model
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_save,
    pre_delete,
    pre_save,
)
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from apps.core.dispatch import receiver

from .firing.operations import OPERATIONS, Operation

FIRING = "apps.signal_map.tests.deep.firing"
SIGNALS = {
    pre_save: "pre_save",
    post_save: "post_save",
    pre_delete: "pre_delete",
    post_delete: "post_delete",
    m2m_changed: "m2m_changed",
}
PAGE = Path(settings.BASE_DIR) / "docs" / "what-fires.md"


def models() -> dict[str, type[Model]]:
    """Return the models by name, each after those that it points to."""
    from .firing import models as m

    found = [
        m.Author,
        m.Tag,
        m.Book,
        m.OldBook,
        m.Novel,
        m.Chapter,
        m.Loan,
        m.Library,
        m.Room,
        m.Card,
    ]
    return {model.__name__: model for model in found}


@pytest.fixture(scope="module", autouse=True)
def tables(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Install the models, and take them back in the end."""
    with (
        override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, FIRING]),
        django_db_blocker.unblock(),
    ):
        concrete = [model for model in models().values() if not model._meta.proxy]
        with connection.schema_editor() as editor:
            for model in concrete:
                editor.create_model(model)
        with django_db_blocker.block():
            yield
        with connection.schema_editor() as editor:
            for model in reversed(concrete):
                editor.delete_model(model)


@pytest.fixture
def world(db: None, tmp_path: Path) -> dict[str, Any]:
    """Create rows, and return everything that the code of the operations names."""
    found: dict[str, Any] = dict(models())
    found["author"] = found["Author"].objects.create(name="Ada")
    found["Book"].objects.create(title="by Ada", author=found["author"])
    tag = found["tag"] = found["Tag"].objects.create(name="new")
    found["other_tag"] = found["Tag"].objects.create(name="old")
    found["book"] = found["Book"].objects.create(title="book")
    found["book"].tags.add(tag)
    found["lent"] = found["Book"].objects.create(title="lent")
    found["Loan"].objects.create(book=found["lent"])
    found["long"] = found["Book"].objects.create(title="long")
    found["Chapter"].objects.create(book=found["long"])
    found["old_book"] = found["OldBook"].objects.create(title="old")
    found["novel"] = found["Novel"].objects.create(title="novel")
    found["library"] = found["Library"].objects.create(name="library")
    found["Room"].objects.create(library=found["library"])
    found["Card"].objects.create(library=found["library"])
    fixture = tmp_path / "books.json"
    row = {"model": "firing.book", "pk": 1000, "fields": {"title": "a", "tags": [tag.pk]}}
    fixture.write_text(json.dumps([row]), encoding="utf-8")
    found["fixture"] = str(fixture)
    found["call_command"] = call_command
    return found


@pytest.fixture
def heard(world: dict[str, Any], connections_as_before: None) -> list[str]:
    """Note the signals that are sent from now on."""
    said: list[str] = []

    def listen(sender: Any, signal: Any, **named: Any) -> None:
        words = [SIGNALS[signal], sender.__name__]
        words += [named["action"]] if "action" in named else []
        words += ["reverse"] if named.get("reverse") else []
        words += [str(len(named["pk_set"]))] if named.get("pk_set") is not None else []
        words += ["created"] if named.get("created") else []
        words += ["raw"] if named.get("raw") else []
        if named.get("update_fields"):
            words.append(f"update_fields={','.join(sorted(named['update_fields']))}")
        said.append(" ".join(words))

    senders = [*models().values(), world["Book"].tags.through]
    for signal in SIGNALS:
        for sender in senders:
            signal.connect(listen, sender=sender, weak=False)
    return said


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.what)
def test_the_signals_of(operation: Operation, world: dict[str, Any], heard: list[str]) -> None:
    with connection.cursor() as cursor:
        eval(operation.code, {**world, "cursor": cursor})  # noqa: S307 (the code that the page shows)
    assert tuple(heard) == operation.signals


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.coroutine],
    ids=lambda operation: operation.what,
)
def test_the_signals_of_the_coroutine(
    operation: Operation, world: dict[str, Any], heard: list[str]
) -> None:
    async def write() -> None:
        await eval(operation.coroutine, dict(world))  # noqa: S307

    async_to_sync(write)()
    assert tuple(heard) == operation.signals


def test_what_the_database_does_itself_is_done(world: dict[str, Any], heard: list[str]) -> None:
    world["library"].delete()
    assert not world["Room"].objects.exists()
    assert world["Card"].objects.get().library_id is None


def test_signals_of_a_rolled_back_transaction_were_sent(
    world: dict[str, Any], heard: list[str]
) -> None:
    with transaction.atomic():
        world["book"].save()
        transaction.set_rollback(True)
    assert heard == ["pre_save Book", "post_save Book"]


def test_a_deletion_is_fast_until_somebody_listens(
    world: dict[str, Any], connections_as_before: None
) -> None:
    """One statement deletes all rows of a table; with a receiver they are all loaded first."""

    def listen(**kwargs: Any) -> None: ...

    def cost() -> int:
        loans = world["Loan"].objects
        loans.bulk_create([world["Loan"]() for _ in range(300)])
        with CaptureQueriesContext(connection) as queries:
            loans.all().delete()
        return len(queries)

    assert cost() == 1
    post_delete.connect(listen, sender=world["Author"], weak=False)
    assert cost() == 1
    post_delete.connect(listen, weak=False)  # of every model
    assert cost() > 3


def test_every_async_write_is_in_the_table() -> None:
    """The rows of the page say of each write whether there is a coroutine of it."""
    from django.db.models import QuerySet

    writes = {
        name
        for name in vars(QuerySet)
        if name.startswith("a")
        and name[1:] in vars(QuerySet)
        and getattr(getattr(QuerySet, name[1:]), "alters_data", False)
    }
    used = " ".join(operation.coroutine for operation in OPERATIONS)
    assert {name for name in writes if f".{name}(" not in used} == set()


def test_the_page_shows_this_table() -> None:
    rows = [operation.row for operation in OPERATIONS]
    shown = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| Write |")
    ]
    missing = [row for row in rows if row not in shown]
    assert shown == rows, "\n".join(["docs/what-fires.md lacks these rows:", *missing])


@pytest.mark.usefixtures("connections_as_before")
def test_a_family_is_told_once_of_each_deletion(world: dict[str, Any]) -> None:
    said: list[tuple[str, str]] = []

    @receiver([pre_delete, post_delete], sender=world["Book"], include_subclasses=True)
    def listen(sender: Any, signal: Any, **named: Any) -> None:
        said.append((SIGNALS[signal], sender.__name__))

    world["novel"].delete()
    world["old_book"].delete()
    assert said == [
        ("pre_delete", "Book"),
        ("post_delete", "Book"),
        ("pre_delete", "OldBook"),
        ("post_delete", "OldBook"),
    ]
