"""Which signals each write of the ORM sends: a contract of Django that receivers rely on.

The table in ``docs/what-fires.md`` is run line by line. A version of Django that changes any of
it fails here, and not in a receiver that is no longer called.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

PAGE = Path(settings.BASE_DIR) / "docs" / "what-fires.md"


@dataclass(frozen=True)
class Operation:
    """A row of the page: a write, the same as a coroutine if there is one, and its signals."""

    what: str
    code: str
    coroutine: str
    signals: list[str]


def operations() -> list[Operation]:
    """Read the table."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| Write |"):
            what, ways, signals = line.strip("| ").split(" | ")
            code, *coroutine = re.findall(r"`(.+?)`", ways)
            said = re.findall(r"`(.+?)`", signals)
            assert said or signals == "**none**", line
            found.append(Operation(what, code, "".join(coroutine), said))
    return found


OPERATIONS = operations()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.what)
def test_the_signals_of(operation: Operation, world: dict[str, Any], heard: list[str]) -> None:
    with connection.cursor() as cursor:
        eval(operation.code, {**world, "cursor": cursor})  # noqa: S307 (the project's own page)
    assert heard == operation.signals


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
    assert heard == operation.signals


def test_every_async_write_is_in_the_table() -> None:
    writes = {
        name
        for name in vars(QuerySet)
        if getattr(getattr(QuerySet, name.removeprefix("a"), None), "alters_data", False)
        and name.startswith("a")
    }
    used = " ".join(operation.coroutine for operation in OPERATIONS)
    assert writes
    assert {name for name in writes if f".{name}(" not in used} == set()
