"""What the README promises of receivers: each row of its table, and ``mute``."""

import asyncio
import functools
import gc
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_migrate, post_save
from django.dispatch import Signal

from apps.accounts.models import User
from apps.core.dispatch import mute, receiver

pytestmark = pytest.mark.usefixtures("connections_as_before")

ordered = Signal()
type Calls = list[dict[str, Any]]


class Staff(Group):
    """A proxy."""

    class Meta:
        proxy = True
        app_label = "auth"


@pytest.fixture
def calls() -> Calls:
    return []


def connect(calls: Calls, signal: Any, sender: Any = None, **options: Any) -> Any:
    """Connect a receiver made inside a function, which Django's own decorator would lose."""

    @receiver(signal, sender=sender, **options)
    def note(sender: Any, **named: Any) -> str:
        """Note the call."""
        calls.append(named | {"sender": sender})
        return "noted"

    return note


def test_a_receiver_is_held_strongly_and_stays_a_function(calls: Calls, settings: Any) -> None:
    settings.DEBUG = False
    note = connect(calls, ordered)
    gc.collect()
    assert ordered.send("shop", number=1) == [(note, "noted")]
    assert (note.__name__, note.__doc__) == ("note", "Note the call.")


def test_a_receiver_keeps_its_types() -> None:
    """mypy runs over this file and would call each ignore unused if it accepted the line."""

    @receiver(ordered)
    def double(sender: Any, number: int = 0, **kwargs: Any) -> int:
        return 2 * number

    assert double("shop", number="1") == "11"  # type: ignore[arg-type,comparison-overlap]


def test_a_file_imported_under_two_names_connects_once(tmp_path: Path) -> None:
    source = "@receiver(ordered)\ndef listen(sender, **kwargs):\n    return 'heard'\n"
    for name in ("listening", "shop.listening"):
        code = compile(source, str(tmp_path / "listening.py"), "exec")
        exec(code, {"__name__": name, "receiver": receiver, "ordered": ordered})  # noqa: S102
    assert [answer for _, answer in ordered.send(None)] == ["heard"]


def test_two_receivers_of_one_name_are_refused(calls: Calls) -> None:
    listen = receiver(post_save, sender=Group)
    listen(lambda sender, **kwargs: None)
    with pytest.raises(ImproperlyConfigured, match="Rename one"):
        listen(lambda sender, **named: None)
    connect(calls, [post_delete, post_save], Group)
    with pytest.raises(ImproperlyConfigured, match="connected twice"):
        connect(calls, post_save, Group)


async def waits(sender: Any, **kwargs: Any) -> str:
    await asyncio.sleep(0)
    return "heard"


def strict(sender: Any, instance: Any) -> None: ...


def asks_for_the_instance(sender: Any, instance: Any, **kwargs: Any) -> None: ...


def fine(sender: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("signal", "sender", "options", "function", "says"),
    [
        (post_save, Group, {}, strict, r"must accept \*\*kwargs"),
        (post_save, None, {}, fine, "must name a sender"),
        (post_save, [Group], {}, fine, "is no model"),
        (post_save, Group, {}, waits, "is async"),
        (ordered, None, {"after_commit": True}, waits, "cannot wait for the commit"),
        (post_save, Group, {"after_commit": True}, asks_for_the_instance, "is given pk instead"),
        (ordered, "auth.Group", {}, fine, "Only the signals of models"),
        (ordered, None, {}, functools.partial(fine), "plain function"),
        ([], None, {}, fine, "needs a signal"),
        (fine, None, {}, fine, "needs a signal"),
        (ordered, None, {"weak": False}, fine, "Leave weak and dispatch_uid out"),
        (post_migrate, "auth", {}, fine, "get_app_config"),
        ([post_save, post_delete], Group, {}, lambda sender, created, **kw: None, "'created'"),
        (ordered, None, {}, lambda self, sender, **kwargs: None, "'self'"),
        (post_save, "auth.User", {}, fine, "sender=settings.AUTH_USER_MODEL"),
        (post_save, AbstractUser, {}, fine, "is abstract"),
        (m2m_changed, User, {}, fine, r"User\.groups\.through"),
    ],
)
def test_a_mistake_is_refused_when_it_is_connected(
    signal: Any, sender: Any, options: dict[str, Any], function: Any, says: str
) -> None:
    before = len(ordered.receivers)
    with pytest.raises(ImproperlyConfigured, match=says):
        receiver(signal, sender=sender, **options)(function)
    assert len(ordered.receivers) == before


@pytest.mark.django_db
def test_fixtures_are_skipped_unless_asked_for(calls: Calls, tmp_path: Path) -> None:
    asked: Calls = []
    connect(calls, post_save, "auth.Group")
    receiver(post_save, sender=Group, raw=True)(lambda sender, **named: asked.append(named))
    fixture = tmp_path / "groups.json"
    fixture.write_text(
        json.dumps([{"model": "auth.group", "fields": {"name": "staff"}}]), encoding="utf-8"
    )
    call_command("loaddata", str(fixture), verbosity=0)
    Group.objects.create(name="another")
    assert [call["instance"].name for call in calls] == ["another"]
    assert [call["raw"] for call in asked] == [True, False]


@pytest.mark.django_db
def test_subclasses_are_heard_when_asked_for(calls: Calls) -> None:
    connect(calls, post_save, Group, include_subclasses=True)
    receiver(post_save, sender=Group)(fine)
    Group.objects.create(name="a")
    Staff.objects.create(name="b")
    assert [call["sender"] for call in calls] == [Group, Staff]


@pytest.mark.django_db(transaction=True)
def test_after_commit_waits_and_is_given_the_key(calls: Calls) -> None:
    connect(calls, [post_save, post_delete], Group, after_commit=True)
    links: list[Any] = []
    listen = receiver(m2m_changed, sender=Group.permissions.through, after_commit=True)
    listen(lambda sender, **named: links.append(named["pk_set"]))
    with transaction.atomic():
        group = Group.objects.create(name="staff")
        key = group.pk
        group.delete()
        assert calls == []
    with transaction.atomic():
        Group.objects.create(name="lost")
        transaction.set_rollback(True)
    assert [(call["pk"], "instance" in call) for call in calls] == [(key, False)] * 2
    content_type = ContentType.objects.get_for_model(Group)
    permission = Permission.objects.create(name="x", codename="x", content_type=content_type)
    Group.objects.create(name="linked").permissions.add(permission)
    assert links == [{permission.pk}] * 2


@pytest.mark.django_db(transaction=True)
def test_after_commit_a_failure_is_logged_and_the_rest_runs(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    @receiver(post_save, sender=Group, after_commit=True)
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("no luck")

    connect(calls, post_save, Group, after_commit=True)
    with caplog.at_level(logging.ERROR, logger="django.db.backends.base"):
        Group.objects.create(name="staff")
    assert len(calls) == 1
    assert f"{fail.__module__}.{fail.__qualname__}" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_after_commit_goes_by_the_database_of_the_signal(calls: Calls, other_database: str) -> None:
    connect(calls, post_save, Group, after_commit=True)
    with transaction.atomic(using=other_database):
        Group.objects.using(other_database).create(name="staff")
        assert calls == []
    assert [call["using"] for call in calls] == [other_database]


def test_muting_reaches_its_targets_in_this_thread_only(calls: Calls) -> None:
    note = connect(calls, ordered)
    with mute(note):
        thread = threading.Thread(target=ordered.send, args=["thread"])
        thread.start()
        thread.join()
        ordered.send("here")
    with mute(Group):
        ordered.send(Group)
        ordered.send(Signal)
    with mute("auth.Group"):
        ordered.send(Group)

    @mute(note)
    async def send() -> None:
        ordered.send("muted")

    asyncio.run(send())
    assert [call["sender"] for call in calls] == ["thread", Signal]


def test_what_cannot_be_muted_is_an_error(calls: Calls) -> None:
    note = connect(calls, ordered, mutable=False)
    with mute(Group):
        ordered.send(Group)
    assert len(calls) == 1
    for target in (note, fine):
        with pytest.raises(TypeError, match="cannot be muted"), mute(target):
            pass
    with pytest.raises(LookupError), mute("auth.Grup"):
        pass


told = Signal()
heard: list[Any] = []


@receiver(told)
def audible(sender: Any, **kwargs: Any) -> None:
    """Note who has sent."""
    heard.append(sender)


@pytest.mark.muted(f"{__name__}.audible")
def test_a_marker_mutes_a_test() -> None:
    told.send("muted")
    assert heard == []


def test_a_fixture_mutes_from_a_point_on(muted: Callable[..., None]) -> None:
    told.send(Group)
    muted("django.contrib.auth.models.Group")
    told.send(Group)
    assert heard == [Group]
    heard.clear()
