"""Which signals each write of the ORM sends: a contract of Django that receivers rely on.

The table in ``docs/what-fires.md`` is run line by line. A version of Django that changes any of
it fails here, and not in a receiver that is no longer called.
"""

import re
from inspect import iscoroutine
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

PAGE = Path(settings.BASE_DIR) / "docs" / "what-fires.md"


def writes() -> list[Any]:
    """Read the table: each call of each row, with its signals."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| Write |"):
            what, calls, signals = line.strip("| ").split(" | ")
            said = re.findall(r"`(.+?)`", signals)
            assert said or signals == "**none**", line
            found += [pytest.param(code, said, id=what) for code in re.findall(r"`(.+?)`", calls)]
    return found


@pytest.mark.parametrize(("code", "signals"), writes())
def test_the_signals_of(
    code: str, signals: list[str], world: dict[str, Any], heard: list[str]
) -> None:
    with connection.cursor() as cursor:
        written = eval(code, {**world, "cursor": cursor})  # noqa: S307 (the project's own page)

    async def finish() -> None:
        await written

    if iscoroutine(written):
        async_to_sync(finish)()
    assert heard == signals
