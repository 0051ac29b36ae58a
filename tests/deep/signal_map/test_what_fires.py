"""Further facts about the signals that a write sends."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.test.utils import CaptureQueriesContext

from apps.core.dispatch import receiver

from ..conftest import SIGNALS
from ..test_what_fires import PAGE


def test_every_async_write_is_in_the_table() -> None:
    writes = {
        name
        for name in vars(QuerySet)
        if getattr(getattr(QuerySet, name.removeprefix("a"), None), "alters_data", False)
        and name.startswith("a")
    }
    used = PAGE.read_text(encoding="utf-8")
    assert writes
    assert {name for name in writes if f".{name}(" not in used} == set()


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
