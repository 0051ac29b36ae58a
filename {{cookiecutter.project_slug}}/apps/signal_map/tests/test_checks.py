"""Each system check finds its mistake and names its line; it accepts the right form."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models.signals import post_migrate, post_save
from django.dispatch import Signal
from django.dispatch import receiver as django_receiver

from apps.core.dispatch import receiver
from apps.signal_map.checks import check_receivers

pytestmark = pytest.mark.usefixtures("connections_as_before", "production")

opened, closed = Signal(), Signal()


def documented(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


def undocumented(sender: Any, **kwargs: Any) -> None: ...


def without_kwargs(sender: Any, instance: Any) -> None:
    """Fail."""


async def asynchronous(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


class Listener:
    """Has a method that listens."""

    def listen(self, sender: Any, **kwargs: Any) -> None:
        """Do nothing."""

    @classmethod
    def listen_as_class(cls, sender: Any, **kwargs: Any) -> None:
        """Do nothing."""


def closure(number: int) -> Callable[..., None]:
    def local(sender: Any, **kwargs: Any) -> None:
        """Return, whatever the number."""
        assert number

    return local


def weakly(listen: Any) -> Any:
    """Connect to Group, and return what only the caller holds."""
    post_save.connect(listen, sender=Group)
    return listen


def to_each(*senders: Any) -> None:
    for sender in senders:
        opened.connect(documented, sender=sender)


def around_each(*numbers: int) -> None:
    for number in numbers:
        opened.connect(closure(number), weak=False)


def twice() -> None:
    for uid in ("one", "another"):
        post_save.connect(documented, sender=Group, dispatch_uid=uid)


def around(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return run


@around
@django_receiver(closed)  # noqa: DJ013 (the mistake that is not one here)
def decorated(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


def decorate_above() -> Any:
    """Leave a name in this module as a decorator above @receiver does."""
    connect = receiver(opened)
    globals()["renamed"] = around(connect(renamed))
    return globals()["renamed"]


def renamed(sender: Any, **kwargs: Any) -> None:
    """Do nothing."""


held = Listener()
held_partial = [partial(documented)]
held_lambda = {"one": [lambda sender, **kwargs: None]}
held_lambda["one"][0].__doc__ = "Do nothing."
MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "signal_map.E001": [
        lambda: weakly(closure(1)),
        lambda: weakly(partial(documented)),
        lambda: (listener := Listener(), weakly(listener.listen)),
    ],
    "signal_map.E003": [lambda: weakly(asynchronous), lambda: post_migrate.connect(asynchronous)],
    "signal_map.E004": [lambda: weakly(without_kwargs)],
    "signal_map.W005": [
        lambda: weakly(undocumented),
        lambda: receiver(post_save, sender=Group)(undocumented),
    ],
    "signal_map.W006": [lambda: post_save.connect(documented)],
    "signal_map.W007": [
        twice,
        lambda: to_each(None, Group),
    ],
    "signal_map.W008": [decorate_above],
}
RIGHT: list[Callable[[], Any]] = [
    lambda: weakly(documented),
    lambda: weakly(held.listen),
    lambda: weakly(Listener.listen_as_class),
    lambda: weakly(held_partial[0]),
    lambda: weakly(held_lambda["one"][0]),
    lambda: weakly(decorated),
    lambda: post_save.connect(closure(1), sender=Group, weak=False),
    lambda: receiver(post_save, sender=Group)(closure(1)),
    lambda: opened.connect(asynchronous),
    lambda: to_each(Group, str),
    lambda: around_each(1, 2),
]


def found() -> list[str]:
    """Return the ids of what the checks say of this file."""
    messages = [each for each in check_receivers() if "test_checks.py:" in str(each.hint)]
    return sorted(str(each.id) for each in messages)


@pytest.fixture
def production(settings: Any) -> None:
    """Django itself looks at what is connected with ``DEBUG`` only."""
    settings.DEBUG = False


@pytest.mark.parametrize("check", MISTAKES)
def test_a_mistake_is_found(check: str) -> None:
    for connect in MISTAKES[check]:
        kept = connect()
        assert check in found()
        del kept
