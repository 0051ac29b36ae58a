"""Receivers and ``mute``, as the README says."""

import asyncio
import gc
import logging
import threading
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal

from apps.core.dispatch import mute, receiver

pytestmark = pytest.mark.usefixtures("connections_as_before")

ordered = Signal()
type Calls = list[dict[str, Any]]


@pytest.fixture
def calls() -> Calls:
    return []


def connect(calls: Calls, signal: Any, sender: Any = None, **options: Any) -> Any:
    """Connect a receiver inside a function, which Django's decorator would lose."""

    @receiver(signal, sender=sender, **options)
    def note(sender: Any, **named: Any) -> None:
        calls.append(named | {"sender": sender})

    return note


def test_a_receiver_is_held_strongly(calls: Calls, settings: Any) -> None:
    settings.DEBUG = False
    connect(calls, ordered)
    gc.collect()
    ordered.send("shop", number=1)
    assert [call["number"] for call in calls] == [1]


async def waits(sender: Any, **kwargs: Any) -> None: ...


def strict(sender: Any, instance: Any) -> None: ...


def asks_for_the_instance(sender: Any, instance: Any, **kwargs: Any) -> None: ...


def fine(sender: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("signal", "sender", "options", "function", "says"),
    [
        (post_save, Group, {}, strict, r"must accept \*\*kwargs"),
        (post_save, None, {}, fine, "must name a sender"),
        (post_save, Group, {}, waits, "is async"),
        (post_save, Group, {"after_commit": True}, asks_for_the_instance, "gets pk instead"),
        (ordered, None, {"weak": False}, fine, "no option weak; leave it out"),
        ([post_save, post_delete], Group, {}, lambda sender, created, **kw: None, "'created'"),
        (post_save, "auth.User", {}, fine, "sender=settings.AUTH_USER_MODEL"),
    ],
)
def test_a_mistake_is_refused_when_it_is_connected(
    signal: Any, sender: Any, options: dict[str, Any], function: Any, says: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        receiver(signal, sender=sender, **options)(function)


def test_fixtures_are_skipped_unless_asked_for(calls: Calls) -> None:
    connect(calls, ordered)
    receiver(ordered, raw=True)(lambda sender, **named: calls.append(named | {"asked": True}))
    ordered.send("loaddata", raw=True)
    assert [call.get("asked") for call in calls] == [True]


@pytest.mark.django_db(transaction=True)
def test_after_commit_waits_and_is_given_the_key(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    @receiver(post_save, sender=Group, after_commit=True)
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("no luck")

    connect(calls, [post_save, post_delete], Group, after_commit=True)
    with caplog.at_level(logging.ERROR, logger="django.db.backends.base"), transaction.atomic():
        group = Group.objects.create(name="staff")
        key = group.pk
        group.delete()
        assert calls == []
    with transaction.atomic():
        Group.objects.create(name="lost")
        transaction.set_rollback(True)
    assert [(call["pk"], "instance" in call) for call in calls] == [(key, False)] * 2
    assert f"{fail.__module__}.{fail.__qualname__}" in caplog.text


def test_muting_reaches_its_targets_in_this_thread_only(calls: Calls) -> None:
    note = connect(calls, ordered)
    with mute(note):
        thread = threading.Thread(target=ordered.send, args=["thread"])
        thread.start()
        thread.join()
        ordered.send("here")
    with mute("auth.Group"):
        ordered.send(Group)
        ordered.send(Signal)

    @mute(note)
    async def send() -> None:
        ordered.send("muted")

    asyncio.run(send())
    assert [call["sender"] for call in calls] == ["thread", Signal]


@mute(Group)
def test_a_decorator_mutes_a_test(calls: Calls) -> None:
    connect(calls, ordered)
    ordered.send(Group)
    assert calls == []
