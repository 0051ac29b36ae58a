"""Tests switch receivers off with a marker or a fixture, and only for themselves."""

from collections.abc import Callable
from typing import Any

import pytest
from django.dispatch import Signal

from apps.accounts.models import User
from apps.core.dispatch import receiver

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


def what_is_heard() -> list[str]:
    heard.clear()
    told.send("teller")
    return list(heard)


PATH = "apps.core.tests.deep.test_muted."


@pytest.mark.muted(f"{PATH}first")
def test_a_marker_names_a_receiver_by_its_path() -> None:
    assert what_is_heard() == ["second"]


@pytest.mark.muted("apps.accounts.models.User")
def test_a_marker_names_a_sender_by_its_path() -> None:
    assert what_is_heard() == ["first", "second"]
    heard.clear()
    told.send(User)
    assert heard == []


@pytest.mark.muted(f"{PATH}first", f"{PATH}second")
def test_a_marker_names_several() -> None:
    assert what_is_heard() == []


@pytest.mark.muted(f"{PATH}first")
@pytest.mark.muted(f"{PATH}second")
def test_markers_add_up() -> None:
    assert what_is_heard() == []


def test_without_a_marker_everything_is_heard() -> None:
    assert what_is_heard() == ["first", "second"]


class TestOfAClass:
    """A marker of a class or of a module is a marker of each of its tests."""

    pytestmark = pytest.mark.muted(f"{PATH}second")

    def test_is_muted_as_well(self) -> None:
        assert what_is_heard() == ["first"]


def test_the_fixture_switches_off_from_a_point_on(muted: Callable[..., None]) -> None:
    assert what_is_heard() == ["first", "second"]
    muted(first)
    assert what_is_heard() == ["second"]
    muted(f"{PATH}second")
    assert what_is_heard() == []


def test_what_cannot_be_muted_is_an_error(muted: Callable[..., None]) -> None:
    with pytest.raises(TypeError, match="cannot be muted"):
        muted(plain)
