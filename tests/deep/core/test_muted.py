"""A decorator switches receivers off for one test."""

from typing import Any

import pytest
from django.dispatch import Signal

from apps.accounts.models import User
from apps.core.dispatch import mute, receiver

told = Signal()
heard: list[str] = []


@receiver(told)
def first(sender: Any, **kwargs: Any) -> None:
    """Note that the signal was heard."""
    heard.append("first")


@receiver(told)
def second(sender: Any, **kwargs: Any) -> None:
    """Note that the signal was heard."""
    heard.append("second")


def plain(sender: Any, **kwargs: Any) -> None:
    """Listen to nothing."""


def heard_receivers() -> list[str]:
    heard.clear()
    told.send("teller")
    return list(heard)


@mute(first)
def test_a_decorator_names_a_receiver() -> None:
    assert heard_receivers() == ["second"]


@mute("accounts.User")
def test_a_decorator_names_a_sender_by_its_label() -> None:
    assert heard_receivers() == ["first", "second"]
    heard.clear()
    told.send(User)
    assert heard == []


@mute(first, second)
def test_a_decorator_names_several() -> None:
    assert heard_receivers() == []


@mute(first)
@mute(second)
def test_decorators_add_up() -> None:
    assert heard_receivers() == []


@mute(first)
def test_a_decorated_test_is_given_its_fixtures(settings: Any) -> None:
    assert settings.ROOT_URLCONF == "config.urls"
    assert heard_receivers() == ["second"]


def test_without_a_decorator_everything_is_heard() -> None:
    assert heard_receivers() == ["first", "second"]


def test_a_function_that_is_no_receiver_cannot_be_muted() -> None:
    with pytest.raises(TypeError, match="cannot be muted"):
        mute(plain)
