"""The data that Django keeps of its receivers, which may change with any version."""

import gc
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.db.models.signals import post_save
from django.dispatch import Signal

from apps.accounts.models import User
from apps.signal_map.live import (
    UNKNOWN,
    SignalName,
    all_signals,
    links_of,
    named_signals,
)


class Shop:
    """Sends, and listens with a method."""

    opened = Signal()

    def listen(self, **kwargs: Any) -> None:
        """Listen."""


@pytest.fixture
def signal() -> Signal:
    return Signal()


def test_the_shape_is_that_of_django_6_1(signal: Signal) -> None:
    """After an update of Django, look at ``Signal.connect`` and at ``links_of``, then here."""
    assert django.VERSION[:2] == (6, 1)

    def strong(**kwargs: Any) -> None: ...

    async def asynchronous(**kwargs: Any) -> None: ...

    def weak(**kwargs: Any) -> None: ...

    shop = Shop()
    signal.connect(strong, sender=User, weak=False, dispatch_uid="unlike its id")
    signal.connect(asynchronous, weak=False)
    signal.connect(weak)
    signal.connect(shop.listen, sender=shop)
    signal.connect(strong, sender="a name", weak=False)
    assert [
        (each.receiver, each.sender, each.weak, each.is_async) for each in links_of(signal)
    ] == [
        (strong, User, False, False),
        (asynchronous, None, False, True),
        (weak, None, True, False),
        (shop.listen, shop, True, False),
        (strong, UNKNOWN, False, False),
    ]


def test_a_receiver_that_is_gone_is_told(signal: Signal) -> None:
    def connect() -> None:
        shop = Shop()
        # The signal goes on to hold the method, weakly, and nothing holds the shop.
        signal.connect(shop.listen)

    connect()
    gc.collect()
    (link,) = links_of(signal)
    assert (link.receiver, link.weak) == (None, True)


def test_a_sender_that_is_gone_has_no_receivers(signal: Signal) -> None:
    def listen(**kwargs: Any) -> None: ...

    signal.connect(listen, sender=Shop(), weak=False)
    gc.collect()
    assert links_of(signal) == []


def test_it_says_what_django_would_call() -> None:
    for one in all_signals():
        for link in links_of(one):
            if link.sender not in (None, UNKNOWN) and link.receiver is not None:
                live: list[Callable[..., Any]] = [
                    receiver for kind in one._live_receivers(link.sender) for receiver in kind
                ]
                assert link.receiver in live


def test_every_signal_is_found_whoever_holds_it() -> None:
    found = all_signals()
    assert post_save in found
    assert Shop.opened in found
    assert len(set(found)) == len(found)


def test_signals_are_named_by_the_module_that_defines_them() -> None:
    names = named_signals()
    assert names[post_save] == SignalName("post_save", "django.db.models.signals")
    assert Shop.opened not in names
