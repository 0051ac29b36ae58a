"""Each system check finds its mistake, says where it is, and is silent about the right form."""

import gc
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.signals import setting_changed
from django.db import transaction
from django.db.models.signals import post_migrate, post_save
from django.dispatch import Signal

from apps.accounts.models import User
from apps.core.dispatch import receiver
from apps.signal_map.checks import check_receivers
from apps.signal_map.live import links_of

from . import listening

pytestmark = pytest.mark.usefixtures("connections_as_before")

FILE = "apps/signal_map/tests/deep/listening.py"


@pytest.fixture(autouse=True)
def production(settings: Any) -> None:
    """Without DEBUG, Django looks at nothing that is connected."""
    settings.DEBUG = False


def found() -> dict[str, CheckMessage]:
    """Return what the checks say of ``listening.py``, by id."""
    messages = [each for each in check_receivers() if FILE in str(each.hint)]
    assert len({each.id for each in messages}) == len(messages)
    return {str(each.id): each for each in messages}


def line_of(text: str) -> int:
    """Return the number of the line of ``listening.py`` that starts with a text."""
    lines = Path(listening.__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


MISTAKES: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "a closure": ("signal_map.E001", "def local", listening.connect_closure),
    "a method": ("signal_map.E001", "def listen", listening.connect_method),
    "a partial": ("signal_map.E001", "def documented", listening.connect_partial),
    "async on a model signal": (
        "signal_map.E003",
        "async def asynchronous",
        lambda: post_save.connect(listening.asynchronous, sender=User),
    ),
    "async on another synchronous signal": (
        "signal_map.E003",
        "async def asynchronous",
        lambda: post_migrate.connect(listening.asynchronous),
    ),
    "no kwargs": (
        "signal_map.E004",
        "def without_kwargs",
        lambda: post_save.connect(listening.without_kwargs, sender=User),
    ),
    "no docstring": (
        "signal_map.W005",
        "def undocumented",
        lambda: post_save.connect(listening.undocumented, sender=User),
    ),
    "no docstring, with the kit": (
        "signal_map.W005",
        "def undocumented",
        lambda: receiver(post_save, sender=User)(listening.undocumented),
    ),
    "no sender": (
        "signal_map.W006",
        "def documented",
        lambda: post_save.connect(listening.documented),
    ),
    "twice, under two uids": ("signal_map.W007", "def documented", listening.connect_twice),
    "twice, for one and for all senders": (
        "signal_map.W007",
        "def documented",
        listening.connect_to_one_and_all,
    ),
    "a function above the kit's decorator": (
        "signal_map.W008",
        "def renamed",
        lambda: listening.decorate_above(receiver(post_save, sender=User), transaction.atomic),
    ),
    "an object above the kit's decorator": (
        "signal_map.W008",
        "def renamed",
        lambda: listening.decorate_above(receiver(post_save, sender=User), lru_cache),
    ),
    "a partial above the kit's decorator": (
        "signal_map.W008",
        "def renamed",
        lambda: listening.decorate_above(receiver(post_save, sender=User), partial),
    ),
}


@pytest.mark.parametrize(("identity", "start", "connect"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_found_and_its_place_named(
    identity: str, start: str, connect: Callable[[], Any]
) -> None:
    kept = connect()
    message = found()[identity]
    assert message.is_serious() is identity.startswith("signal_map.E")
    assert f"{FILE}:{line_of(start)}" in str(message.hint)
    assert f"{FILE}:{line_of(start)}" in str(message)
    del kept


RIGHT: dict[str, Callable[[], Any]] = {
    "a function of the module, weakly": lambda: post_save.connect(
        listening.documented, sender=User
    ),
    "a method of an object of the module": lambda: post_save.connect(
        listening.listener.listen, sender=User
    ),
    "a method of a class of the module": lambda: post_save.connect(
        listening.Listener.listen_as_class, sender=User
    ),
    "a partial in a list of the module": lambda: post_save.connect(
        listening.held_partial[0], sender=User
    ),
    "a lambda in a dictionary of the module": lambda: post_save.connect(
        listening.held_lambda["one"][0], sender=User
    ),
    "a decorator above Django's receiver": listening.connect_with_a_decorator_above,
    "a method of an app configuration": lambda: post_save.connect(
        MethodType(listening.Listener.listen, apps.get_app_config("core")), sender=User
    ),
    "a closure, strongly": lambda: post_save.connect(listening.made(1), sender=User, weak=False),
    "a closure, with the kit": lambda: receiver(post_save, sender=User)(listening.made(1)),
    "async on a signal of one's own": lambda: listening.listened.connect(listening.asynchronous),
    "no sender on a signal of one's own": lambda: listening.listened.connect(listening.documented),
    "once for each of two senders": listening.connect_once_for_each,
    "two closures around two values": listening.connect_two_closures,
    "twice with the kit": lambda: [
        receiver(post_save, sender=User)(listening.documented) for _ in range(2)
    ],
}


@pytest.mark.parametrize("connect", RIGHT.values(), ids=RIGHT)
def test_the_right_form_is_passed(connect: Callable[[], Any]) -> None:
    kept = connect()
    assert found() == {}
    del kept


def test_what_cannot_be_known_is_a_warning() -> None:
    closure = listening.connect_closure()
    kept = [[closure] for _ in range(100)]
    assert set(found()) == {"signal_map.W001"}
    assert not found()["signal_map.W001"].is_serious()
    kept.clear()
    assert set(found()) == {"signal_map.E001"}


def test_a_file_imported_under_two_names_connects_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    post_save.connect(listening.documented, sender=User)
    name = "listening_again"
    spec = importlib.util.spec_from_file_location(name, listening.__file__)
    assert spec
    assert spec.loader
    again = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, again)
    spec.loader.exec_module(again)
    post_save.connect(again.documented, sender=User)
    message = found()["signal_map.W007"]
    assert (
        "apps.signal_map.tests.deep.listening.documented and as listening_again.documented"
        in message.msg
    )


def test_a_receiver_that_is_gone_is_reported() -> None:
    signal = Signal()

    def connect() -> None:
        listener = listening.Listener()
        signal.connect(listener.listen, sender=User)

    connect()
    gc.collect()
    (message,) = [
        each
        for each in check_receivers()
        if each.id == "signal_map.W002" and "a nameless signal of accounts.User" in each.msg
    ]
    assert "DEBUG=1" in str(message.hint)


def test_what_django_loses_itself_is_passed() -> None:
    """Its file storages listen to ``setting_changed`` for as long as they are there."""
    storage = FileSystemStorage()
    assert any(
        link.receiver == storage._clear_cached_properties for link in links_of(setting_changed)
    )
    del storage
    gc.collect()
    assert any(link.receiver is None for link in links_of(setting_changed))
    assert not any("setting_changed" in each.msg for each in check_receivers())


def test_a_check_does_not_keep_a_receiver_alive() -> None:
    kept = listening.connect_closure()
    assert set(found()) == {"signal_map.E001"}
    del kept
    gc.collect()
    assert found() == {}


def test_packages_are_left_alone(tmp_path: Path) -> None:
    """The checks do not judge code outside the project's folder."""
    code = "async def foreign(sender): pass\ndef connect(signal): signal.connect(foreign)\n"
    namespace: dict[str, Any] = {"__name__": "foreign"}
    exec(compile(code, str(tmp_path / "foreign.py"), "exec"), namespace)  # noqa: S102
    before = check_receivers()
    namespace["connect"](post_save)
    assert check_receivers() == before


def test_apps_are_checked_alone_when_they_are_named() -> None:
    listening.connect_twice()
    own, accounts = apps.get_app_config("signal_map"), apps.get_app_config("accounts")
    assert [each.id for each in check_receivers([own])] == ["signal_map.W007"]
    assert check_receivers([accounts]) == []


@pytest.mark.django_db
def test_the_command_runs_them_and_each_can_be_silenced(settings: Any) -> None:
    kept = listening.connect_closure()
    with pytest.raises(SystemCheckError, match=rf"\(signal_map\.E001\).*\n.*{FILE}:"):
        call_command("check")
    settings.SILENCED_SYSTEM_CHECKS = ["signal_map.E001"]
    call_command("check")
    del kept
