"""Each system check finds its mistake."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models.signals import post_save
from django.dispatch import Signal

from apps.core.dispatch import receiver
from apps.signal_map.checks import check_receivers

opened = Signal()


def documented(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


def undocumented(sender: Any, **kwargs: Any) -> None: ...


def without_kwargs(sender: Any, instance: Any) -> None:
    """Fail."""


async def asynchronous(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


def weakly(listen: Any) -> Any:
    """Connect to Group, and return what only the caller holds."""
    post_save.connect(listen, sender=Group)
    return listen


def closure() -> Any:
    def local(sender: Any, **kwargs: Any) -> None:
        """Do nothing."""

    return weakly(local)


def twice() -> None:
    for sender in (None, Group):
        opened.connect(documented, sender=sender)


def renamed(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


def decorate_above() -> None:
    """Leave a name in this module as a decorator above @receiver does."""
    connected = receiver(opened)(renamed)

    @wraps(connected)
    def around(*args: Any, **named: Any) -> Any:
        return connected(*args, **named)

    globals()["renamed"] = around


MISTAKES: dict[str, Callable[[], Any]] = {
    "E001": closure,
    "E003": lambda: weakly(asynchronous),
    "E004": lambda: weakly(without_kwargs),
    "W005": lambda: receiver(post_save, sender=Group)(undocumented),
    "W006": lambda: post_save.connect(documented),
    "W007": twice,
    "W008": decorate_above,
}


@pytest.mark.usefixtures("connections_as_before")
@pytest.mark.parametrize("check", MISTAKES)
def test_a_mistake_is_found_at_its_line(settings: Any, check: str) -> None:
    settings.DEBUG = False  # with it, Django itself looks at what is connected
    kept = MISTAKES[check]()
    messages = [each for each in check_receivers() if "test_checks.py:" in str(each.hint)]
    assert [each.id for each in messages] == [f"signal_map.{check}"]
    del kept
