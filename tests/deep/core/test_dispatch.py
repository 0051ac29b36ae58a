"""Receivers of the kit: connected once and strongly, without fixtures, after the commit."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import asyncio
import contextvars
import functools
import gc
import json
import logging
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as DjangoUser
from django.contrib.auth.signals import user_logged_in
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.core.signals import request_finished
from django.db import DatabaseError, connection, models, transaction
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_migrate,
    post_save,
    pre_delete,
    pre_migrate,
    pre_save,
)
from django.dispatch import Signal
from django.dispatch.dispatcher import NONE_ID
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps, override_settings
from django.utils.functional import SimpleLazyObject, lazystr

from apps.accounts.models import User
from apps.core import actor, dispatch, mistakes, views
from apps.core.actor import acting_as, acting_in, in_a_job
from apps.core.blocks import Block
from apps.core.dispatch import connected, mute, receiver
from apps.core.signals import bulk_created, bulk_deleted, bulk_updated

from ..test_dispatch import calls

type Calls = list[dict[str, Any]]

ordered = Signal()


class Shop:
    """A sender of ``ordered``."""


class Market:
    """Another."""


pytestmark = pytest.mark.usefixtures("connections_as_before")


def recorder(
    calls: Calls, signal: Signal | list[Signal], sender: Any = User, **options: Any
) -> Any:
    """Connect a receiver inside a function, which Django's decorator would lose."""

    @receiver(signal, sender=sender, **options)
    def record(sender: Any, **named: Any) -> str:
        """Note the call."""
        calls.append(named | {"sender": sender})
        return "noted"

    return record


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
def test_a_receiver_made_inside_a_function_is_not_lost(
    calls: Calls, settings: Any, debug: bool
) -> None:
    settings.DEBUG = debug
    recorder(calls, post_save)
    gc.collect()
    user = User.objects.create(username="ada")
    assert [(call["instance"], call["created"]) for call in calls] == [(user, True)]


def test_the_decorated_function_stays_an_ordinary_receiver(calls: Calls) -> None:
    record = recorder(calls, ordered, sender=None)
    assert ordered.send(sender="shop", number=1) == [(record, "noted")]
    assert (record.__name__, record.__doc__) == ("record", "Note the call.")


def test_one_decorator_connects_to_several_signals(calls: Calls) -> None:
    recorder(calls, [post_save, post_delete], sender=Group)
    for signal in (post_save, post_delete):
        signal.send(sender=Group, instance=Group())
    assert len(calls) == 2


@pytest.mark.django_db(transaction=True)
def test_stacked_decorators_have_separate_options(calls: Calls) -> None:
    @receiver(post_save, sender=User, mutable=False)
    @receiver(post_delete, sender=User, after_commit=True)
    def record(sender: Any, **named: Any) -> None:
        calls.append(named)

    with transaction.atomic():
        user = User.objects.create(username="ada")
        assert [call["instance"] for call in calls] == [user]
        user.delete()
        assert len(calls) == 1
    assert "pk" in calls[1]
    rows = [row for signal in (post_delete, post_save) for row in signal.receivers]
    made = [how for _, each, *_ in rows if (how := connected(each)) and "record" in how.path]
    assert [how.after_commit for how in made] == [True, False]


def test_mute_reaches_all_decorators_of_a_stack(calls: Calls) -> None:
    @receiver(ordered, sender=Shop)
    @receiver(ordered, sender=Market)
    def record(sender: Any, **named: Any) -> None:
        calls.append(named | {"sender": sender})

    with mute(record):
        ordered.send(sender=Shop)
        ordered.send(sender=Market)
    assert calls == []
    ordered.send(sender=Market)
    assert [call["sender"] for call in calls] == [Market]


def test_another_decorator_in_a_stack_still_runs(calls: Calls) -> None:
    def twice(function: Any) -> Any:
        @functools.wraps(function)
        def run(sender: Any, **named: Any) -> None:
            function(sender, **named)
            function(sender, **named)

        return run

    @receiver(ordered, sender=Shop)
    @twice
    @receiver(ordered, sender=Market)
    def record(sender: Any, **named: Any) -> None:
        calls.append(named)

    ordered.send(sender=Shop)
    ordered.send(sender=Market)
    assert len(calls) == 3


def test_a_string_names_a_model(calls: Calls) -> None:
    recorder(calls, post_save, sender="auth.Group")
    post_save.send(sender=Group, instance=Group(), created=True)
    assert len(calls) == 1


def test_a_second_import_under_another_module_name_connects_nothing(tmp_path: Path) -> None:
    source = tmp_path / "listening.py"
    source.write_text(
        "from apps.core.dispatch import receiver\n"
        "from apps.core.tests.deep.test_dispatch import ordered\n"
        "@receiver(ordered)\n"
        "def listen(sender, **kwargs):\n"
        "    return 'heard'\n",
        encoding="utf-8",
    )
    for module_name in ("listening", "shop.listening"):
        code = compile(source.read_text(encoding="utf-8"), str(source), "exec")
        exec(code, {"__name__": module_name})  # noqa: S102
    assert [answer for _, answer in ordered.send(sender=None)] == ["heard"]


def test_two_receivers_of_one_name_are_refused_instead_of_dropped() -> None:
    @receiver(ordered)
    def listen(sender: Any, **kwargs: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="rename one"):

        @receiver(ordered)
        def listen(sender: Any, **kwargs: Any) -> None: ...


def test_a_receiver_connected_twice_to_one_sender_is_refused(calls: Calls) -> None:
    recorder(calls, post_save)
    with pytest.raises(ImproperlyConfigured, match="connected twice"):
        recorder(calls, post_save)


def test_a_receiver_connected_again_in_another_way_is_refused_instead_of_dropped() -> None:
    def listen(sender: Any, **kwargs: Any) -> None: ...

    receiver(ordered)(listen)
    receiver(ordered)(listen)
    with pytest.raises(ImproperlyConfigured, match="connected twice"):
        receiver(ordered, after_commit=True)(listen)


def test_a_receiver_without_kwargs_is_refused_at_once() -> None:
    def listen(sender: Any, instance: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=r"must accept \*\*kwargs"):
        receiver(post_save, sender=User)(listen)


def test_a_model_signal_needs_a_sender() -> None:
    with pytest.raises(ImproperlyConfigured, match="must name a sender"):
        recorder([], post_delete, sender=None)


def test_a_string_sender_of_a_custom_signal_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="only model signals accept"):
        recorder([], ordered, sender="accounts.User")


def test_an_async_receiver_of_a_model_signal_is_refused() -> None:
    async def listen(sender: Any, **kwargs: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="is async"):
        receiver(post_save, sender=User)(listen)


def test_an_async_receiver_cannot_wait_for_the_commit() -> None:
    async def listen(sender: Any, **kwargs: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="cannot wait for the commit"):
        receiver(ordered, after_commit=True)(listen)


def test_after_commit_a_parameter_instance_is_refused() -> None:
    def listen(sender: Any, instance: Any, **kwargs: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="gets pk instead"):
        receiver(post_save, sender=User, after_commit=True)(listen)
    receiver(post_save, sender=User)(listen)


@pytest.mark.parametrize("sender", [[User], (User, Group), User(), Path])
def test_the_sender_of_a_model_signal_is_one_model(sender: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="is no model"):
        recorder([], post_save, sender=sender)


@pytest.mark.parametrize("signal", [lambda sender, **kwargs: None, [], [post_save, User]])
def test_an_object_that_is_no_signal_is_refused(signal: Any) -> None:
    """Without brackets the decorator gets the function, and nothing would be connected."""
    with pytest.raises(ImproperlyConfigured, match="needs a signal"):
        receiver(signal)


@pytest.mark.django_db
def test_django_names_the_receiver_whose_sender_does_not_exist() -> None:
    record = recorder([], post_save, sender="acounts.User")
    try:
        said = [message.msg for message in checks.run_checks(tags=[checks.Tags.models])]
        assert any(
            f"{record.__module__}.{record.__qualname__} at {__file__}:" in each for each in said
        ), said
    finally:
        del apps._pending_operations[("acounts", "user")]


class Abstract(models.Model):
    """A model without rows."""

    class Meta:
        abstract = True
        app_label = "dispatch"


@pytest.mark.parametrize(
    ("signal", "sender", "says"),
    [
        (post_save, "auth.User", r"sender=settings\.AUTH_USER_MODEL"),
        (pre_delete, DjangoUser, r"sender=settings\.AUTH_USER_MODEL"),
        (user_logged_in, DjangoUser, r"sender=settings\.AUTH_USER_MODEL"),
        (bulk_created, DjangoUser, r"sender=settings\.AUTH_USER_MODEL"),
        (post_save, Abstract, "include_subclasses=True"),
        (m2m_changed, User, r"sender=User\.groups\.through"),
        (m2m_changed, "auth.Permission", r"sender=Permission\.<field>\.through"),
        (post_migrate, "auth", r"apps\.get_app_config"),
        (pre_migrate, User, r"apps\.get_app_config"),
        (post_migrate, apps.get_app_config("core"), "has no models"),
        (post_save, SimpleLazyObject(lambda: User), "names a lazy object"),
        (user_logged_in, SimpleLazyObject(lambda: User), "names a lazy object"),
        (post_save, lazystr("accounts.User"), "names a lazy object"),
        (post_save, models.Model, "is no model"),
        (post_save, "User", "is no model"),
        (post_save, "django.contrib.auth.models.User", "is no model"),
        (m2m_changed, "accounts.User.groups", "is no model"),
        (post_save, User.groups.through, "sends m2m_changed instead"),
        (pre_delete, "accounts.User_groups", "sends m2m_changed instead"),
    ],
)
@pytest.mark.parametrize("include_subclasses", [False, True])
def test_a_sender_that_never_sends_is_refused(
    signal: Signal, sender: Any, says: str, include_subclasses: bool
) -> None:
    if sender is Abstract and include_subclasses:
        recorder([], signal, sender=sender, include_subclasses=True)
        return
    before = len(signal.receivers)
    with pytest.raises(ImproperlyConfigured, match=says):
        recorder([], signal, sender=sender, include_subclasses=include_subclasses)
    assert len(signal.receivers) == before


def test_a_model_without_bulk_signals_is_refused() -> None:
    for signal in (bulk_created, bulk_updated, bulk_deleted):
        with pytest.raises(ImproperlyConfigured, match=r"BulkSignalsQuerySet\.as_manager\(\)"):
            recorder([], signal, sender=Group)


@pytest.mark.parametrize("sender", [Group, "accounts.User"])
def test_a_sender_of_m2m_changed_is_checked_when_all_models_are_loaded(
    monkeypatch: pytest.MonkeyPatch, sender: Any
) -> None:
    """As in a file of models, where the field of a table may come later."""
    monkeypatch.setattr(apps, "models_ready", False)
    recorder([], m2m_changed, sender=User.groups.through)
    recorder([], m2m_changed, sender=sender)
    monkeypatch.undo()
    with pytest.raises(ImproperlyConfigured, match=r"\.through"):
        apps.get_app_config("core").ready()
    apps.get_app_config("core").ready()


def test_a_sender_that_sends_is_accepted(calls: Calls) -> None:
    recorder(calls, m2m_changed, sender="accounts.User_groups")
    recorder(calls, m2m_changed, sender=User.user_permissions.through)
    recorder(calls, post_migrate, sender=apps.get_app_config("auth"))
    recorder(calls, pre_migrate, sender=None)
    recorder(calls, user_logged_in, sender=User)

    class Member(Abstract):
        class Meta:
            app_label = "dispatch"

        def __str__(self) -> str:
            return "a member"

    try:
        recorder(calls, pre_save, sender=Abstract, include_subclasses=True)
        pre_save.send(sender=Member, instance=Member())
        assert [call["sender"] for call in calls] == [Member]
    finally:
        del apps.all_models["dispatch"]
        apps.clear_cache()


def decorated(function: Any) -> Any:
    """Give the function one argument more than the signal does."""

    @functools.wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        return function(*args, tenant="a", **named)

    return run


@pytest.mark.parametrize(
    ("signals", "function", "says"),
    [
        (pre_save, lambda sender, created, **kwargs: None, "'created'"),
        ([post_save, post_delete], lambda sender, created, **kwargs: None, "'created'"),
        (post_delete, lambda sender, update_fields, **kwargs: None, "'update_fields'"),
        (post_save, lambda instances, **kwargs: None, "'instances'"),
        (post_save, lambda model, **kwargs: None, "'model'"),
        (post_save, lambda self, sender, **kwargs: None, "'self'"),
        (ordered, lambda self, sender, **kwargs: None, "'self'"),
        (ordered, lambda cls, sender, **kwargs: None, "'cls'"),
        (ordered, lambda sender, /, **kwargs: None, "'sender'"),
        (user_logged_in, lambda sender, credentials, **kwargs: None, "'credentials'"),
        (bulk_updated, lambda sender, instances, **kwargs: None, "'instances'"),
        (request_finished, lambda sender, request, **kwargs: None, "'request'"),
        (post_migrate, lambda sender, created, **kwargs: None, "'created'"),
    ],
)
def test_a_parameter_that_is_not_sent_is_refused(signals: Any, function: Any, says: str) -> None:
    senderless = (ordered, user_logged_in, request_finished, post_migrate)
    sender = None if signals in senderless else User
    with pytest.raises(ImproperlyConfigured, match=f"cannot be called: .*{says}"):
        receiver(signals, sender=sender)(function)


@pytest.mark.parametrize("signal", [post_save, bulk_created])
@pytest.mark.parametrize("name", ["instance", "instances"])
def test_after_commit_a_parameter_that_may_be_stale_is_refused(signal: Signal, name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def listen(sender, {name}, **kwargs): ...", namespace)  # noqa: S102
    with pytest.raises(ImproperlyConfigured, match="gets pk instead"):
        receiver(signal, sender=User, after_commit=True)(namespace["listen"])


@pytest.mark.parametrize(
    ("signal", "function"),
    [
        (post_save, lambda **kwargs: None),
        (post_save, lambda *, instance, created, raw, using, update_fields, **kwargs: None),
        (post_save, lambda sender, instance, number=1, **kwargs: None),
        (m2m_changed, lambda sender, action, reverse, model, pk_set, raw, **kwargs: None),
        (ordered, lambda sender, number, **kwargs: None),
        (post_save, decorated(lambda sender, tenant, **kwargs: None)),
    ],
)
def test_a_function_that_the_signal_can_call_is_called(signal: Signal, function: Any) -> None:
    senders: dict[Signal, Any] = {post_save: Group, m2m_changed: User.groups.through}
    sender = senders.get(signal)
    listen = receiver(signal, sender=sender)(function)
    sent = dict.fromkeys(mistakes.SENT.get(signal, "number").split())
    assert (listen, None) in signal.send(sender, **sent)


@pytest.mark.django_db
@isolate_apps("apps.core")
def test_the_table_of_sent_arguments_is_right(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[Signal, set[str]] = {}

    def listen(signal: Signal, **named: Any) -> None:
        heard.setdefault(signal, set(named) - {"sender"})

    for signal in mistakes.SENT:
        signal.connect(listen)
    user = User.objects.create_user("ada")
    User.objects.bulk_create([User(username="grace")])
    User.objects.update(email="")
    user.groups.create(name="staff")
    client.force_login(user)
    client.logout()
    assert not client.login(username="ada", password="wrong")
    user.delete()
    User.objects.all().delete()
    monkeypatch.delattr(views, "render")
    with pytest.raises(NameError), override_settings(DEBUG=False):
        client.get("/")
    client.get("/health/live/")
    for emit in (emit_pre_migrate_signal, emit_post_migrate_signal):
        emit(verbosity=0, interactive=False, db="default")
    another = connection.copy()
    another.connect()
    another.connection.close()
    type("Late", (Abstract,), {"__module__": "apps.core.models", "__str__": str})
    assert heard == {signal: set(names.split()) for signal, names in mistakes.SENT.items()}


@pytest.mark.parametrize("signal", [post_save, ordered])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_generator_is_refused(signal: Signal, after_commit: bool) -> None:
    """A call of it would not run its body."""

    def listen(sender: Any, **kwargs: Any) -> Any:
        yield 1

    async def listen_later(sender: Any, **kwargs: Any) -> Any:
        yield 1

    for function in (listen, listen_later):
        with pytest.raises(ImproperlyConfigured, match="is a generator"):
            receiver(signal, sender=User, after_commit=after_commit)(function)


@pytest.mark.parametrize("option", ["dispatch_uid", "weak", "sendr"])
def test_an_unknown_option_is_named(option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"no option {option}"):
        receiver(ordered, **{option: None})  # type: ignore[arg-type]


def test_a_partial_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="plain function"):
        receiver(ordered)(functools.partial(print))


def test_a_refused_receiver_is_not_connected() -> None:
    before = len(ordered.receivers)
    with pytest.raises(ImproperlyConfigured):
        receiver([ordered, post_save])(lambda sender, **kwargs: None)
    assert len(ordered.receivers) == before


@pytest.mark.django_db
def test_fixtures_are_skipped_unless_asked_for(tmp_path: Path) -> None:
    quiet: Calls = []
    asked: Calls = []
    recorder(quiet, post_save)

    @receiver(post_save, sender=User, raw=True)
    def listen(sender: Any, **named: Any) -> None:
        asked.append(named)

    fixture = tmp_path / "users.json"
    rows = [{"model": "accounts.user", "fields": {"username": "ada"}}]
    fixture.write_text(json.dumps(rows), encoding="utf-8")
    call_command("loaddata", str(fixture), verbosity=0)
    assert quiet == []
    assert [call["raw"] for call in asked] == [True]


def test_subclasses_are_listened_to_when_asked_for(calls: Calls) -> None:
    class EarlyProxy(Group):
        class Meta:
            proxy = True
            app_label = "dispatch_early"

    recorder(calls, post_save, sender=Group, include_subclasses=True)
    recorder(calls, pre_save, sender=Group)

    class LateProxy(Group):
        class Meta:
            proxy = True
            app_label = "dispatch_late"

    try:
        for sender in (Group, EarlyProxy, LateProxy):
            post_save.send(sender=sender, instance=sender())
            pre_save.send(sender=sender, instance=sender())
        assert [call["sender"] for call in calls] == [Group, Group, EarlyProxy, LateProxy]
    finally:
        for label in ("dispatch_early", "dispatch_late"):
            del Group._meta.apps.all_models[label]
        Group._meta.apps.clear_cache()


# After the commit


@pytest.mark.django_db(transaction=True)
def test_after_commit_waits_for_the_commit_and_is_given_the_key(calls: Calls) -> None:
    recorder(calls, post_save, after_commit=True)
    with transaction.atomic():
        user = User.objects.create(username="ada")
        assert calls == []
    assert len(calls) == 1
    assert calls[0]["pk"] == user.pk
    assert calls[0]["created"] is True
    assert "instance" not in calls[0]


@pytest.mark.django_db(transaction=True)
def test_after_commit_is_dropped_with_the_transaction_and_with_a_savepoint(calls: Calls) -> None:
    recorder(calls, post_save, after_commit=True)
    with transaction.atomic():
        User.objects.create(username="ada")
        transaction.set_rollback(True)
    with transaction.atomic():
        with transaction.atomic():
            User.objects.create(username="grace")
            transaction.set_rollback(True)
        User.objects.create(username="edsger")
    assert [User.objects.get(pk=call["pk"]).username for call in calls] == ["edsger"]


@pytest.mark.django_db(transaction=True)
def test_after_commit_knows_the_key_of_a_deleted_row(calls: Calls) -> None:
    recorder(calls, post_delete, after_commit=True)
    user = User.objects.create(username="ada")
    key = user.pk
    with transaction.atomic():
        user.delete()
    assert [call["pk"] for call in calls] == [key]


@pytest.mark.django_db(transaction=True)
def test_after_commit_an_instance_that_is_no_row_stays(calls: Calls) -> None:
    recorder(calls, ordered, sender=None, after_commit=True)
    ordered.send(sender=None, instance={"number": 1})
    assert [call["instance"] for call in calls] == [{"number": 1}]


@pytest.mark.django_db(transaction=True)
def test_after_commit_keeps_the_keys_of_a_relation(calls: Calls) -> None:
    recorder(calls, m2m_changed, sender=User.groups.through, after_commit=True)
    user = User.objects.create(username="ada")
    with transaction.atomic():
        group = user.groups.create(name="staff")
    assert [call["pk_set"] for call in calls if call["action"] == "post_add"] == [{group.pk}]


@pytest.mark.django_db(transaction=True)
def test_after_commit_a_failure_is_logged_and_the_rest_still_runs(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    @receiver(post_save, sender=User, after_commit=True)
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("no luck")

    recorder(calls, post_save, after_commit=True)
    with caplog.at_level(logging.ERROR, logger="django.db.backends.base"):
        User.objects.create(username="ada")
    assert len(calls) == 1
    assert f"{fail.__module__}.{fail.__qualname__}" in caplog.text
    assert "no luck" in caplog.text


def test_after_commit_waits_in_the_database_of_the_signal(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def on_commit(callback: Callable[[], None], using: str, robust: bool) -> None:
        used.append(using)
        assert robust

    monkeypatch.setattr(transaction, "on_commit", on_commit)
    recorder(calls, post_save, sender=Group, after_commit=True)
    post_save.send(sender=Group, instance=Group(pk=1), created=True, using="archive")
    assert used == ["archive"]


@pytest.mark.django_db
def test_in_transaction_a_failure_stops_the_save() -> None:
    @receiver(post_save, sender=User)
    def fail(sender: Any, **kwargs: Any) -> None:
        raise DatabaseError("no luck")

    with pytest.raises(DatabaseError), transaction.atomic():
        User.objects.create(username="ada")
    assert not User.objects.exists()


# Async receivers of custom signals


def test_an_async_receiver_of_a_custom_signal_works(calls: Calls) -> None:
    @receiver(ordered)
    async def listen(sender: Any, **named: Any) -> str:
        await asyncio.sleep(0)
        return "heard"

    async def send() -> list[Any]:
        with mute(listen):
            muted = [answer for _, answer in await ordered.asend(sender=None)]
        return muted + [answer for _, answer in await ordered.asend(sender=None)]

    assert asyncio.run(send()) == [None, "heard"]


# Muting


def test_muting_a_receiver_leaves_the_others_alone(calls: Calls) -> None:
    heard: Calls = []
    record = recorder(calls, ordered, sender=None)

    @receiver(ordered)
    def listen(sender: Any, **named: Any) -> None:
        heard.append(named)

    with mute(record):
        ordered.send(sender=None)
    assert (calls, len(heard)) == ([], 1)
    ordered.send(sender=None)
    assert (len(calls), len(heard)) == (1, 2)


def test_muting_a_sender_mutes_it_for_all_receivers_and_for_no_other_sender(calls: Calls) -> None:
    recorder(calls, ordered, sender=None)
    with mute(Shop):
        ordered.send(sender=Shop)
        ordered.send(sender=Market)
    assert [call["sender"] for call in calls] == [Market]


def test_muted_blocks_nest_and_end_with_an_exception(calls: Calls) -> None:
    record = recorder(calls, ordered, sender=None)
    with pytest.raises(RuntimeError), mute(record):  # noqa: PT012
        with mute(Shop):
            pass
        ordered.send(sender=None)
        raise RuntimeError
    assert calls == []
    ordered.send(sender=None)
    assert len(calls) == 1


def test_muting_does_not_reach_another_thread(calls: Calls) -> None:
    record = recorder(calls, ordered, sender=None)
    with mute(record):
        thread = threading.Thread(target=ordered.send, kwargs={"sender": "thread"})
        thread.start()
        thread.join()
        ordered.send(sender="here")
    assert [call["sender"] for call in calls] == ["thread"]


def test_muting_does_not_reach_an_interleaved_coroutine(calls: Calls) -> None:
    record = recorder(calls, ordered, sender=None)

    async def muted(entered: asyncio.Event, leave: asyncio.Event) -> None:
        with mute(record):
            entered.set()
            await leave.wait()
            await ordered.asend(sender="muted")

    async def audible(entered: asyncio.Event, leave: asyncio.Event) -> None:
        await entered.wait()
        await ordered.asend(sender="audible")
        leave.set()

    async def both() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()
        await asyncio.gather(muted(entered, leave), audible(entered, leave))

    asyncio.run(both())
    assert [call["sender"] for call in calls] == ["audible"]


def test_a_receiver_connected_inside_a_muted_block_stays_connected(calls: Calls) -> None:
    with mute(Shop):
        recorder(calls, ordered, sender=None)
    ordered.send(sender=Shop)
    assert len(calls) == 1


def test_an_immutable_receiver_cannot_be_muted(calls: Calls) -> None:
    record = recorder(calls, ordered, sender=None, mutable=False)
    with mute(Shop):
        ordered.send(sender=Shop)
    assert len(calls) == 1
    with pytest.raises(TypeError, match="cannot be muted"), mute(record):
        pass


@pytest.mark.parametrize("label", ["accounts.User", "accounts.user", settings.AUTH_USER_MODEL])
def test_a_sender_is_muted_by_its_label(calls: Calls, label: str) -> None:
    recorder(calls, post_save)
    with mute(label):
        post_save.send(sender=User, instance=User())
    assert calls == []


@pytest.mark.parametrize(
    ("label", "error"),
    [("acounts.User", LookupError), ("accounts.Usr", LookupError), ("User", ValueError)],
)
def test_muting_an_unknown_label_is_an_error(label: str, error: type[Exception]) -> None:
    with pytest.raises(error), mute(label):
        pass


@pytest.mark.parametrize("target", [print, ordered, [User], (User,)])
def test_muting_an_object_that_is_no_sender_is_an_error(target: Any) -> None:
    with pytest.raises(TypeError, match="cannot be muted"), mute(target):
        pass


# The options of a receiver


def test_how_a_receiver_was_connected_is_known_for_that_receiver_only(calls: Calls) -> None:
    record = recorder(calls, post_save, after_commit=True, mutable=False)
    how = connected(record)
    assert how is not None
    assert (how.after_commit, how.mutable, how.raw) == (True, False, False)
    assert how.path == f"{__name__}.recorder.<locals>.record"

    @functools.wraps(record)
    def around(sender: Any, **named: Any) -> None:
        record(sender, **named)

    assert [connected(each) for each in (around, how.function, print, None)] == [None] * 4
    with pytest.raises(TypeError, match="cannot be muted"), mute(around):
        pass


def test_no_receiver_slows_every_deletion() -> None:
    """Each receiver of the project has a sender, so other models keep their fast deletion."""
    for signal in (post_save, pre_save, post_delete, m2m_changed):
        for (_, sender), *_ in signal.receivers:
            assert sender != NONE_ID


@pytest.mark.django_db
def test_muting_a_model_mutes_receivers_of_its_subclasses_too(calls: Calls) -> None:
    class Team(Group):
        class Meta:
            proxy = True
            app_label = "dispatch"

    alone: Calls = []

    @receiver(post_save, sender=Team)
    def listen(sender: Any, **named: Any) -> None:
        alone.append(named)

    try:
        recorder(calls, post_save, sender=Group, include_subclasses=True)
        with mute(Group):
            Team.objects.create(name="a")
        assert (len(calls), len(alone)) == (0, 1)
        with mute(Team):
            Team.objects.create(name="b")
            Group.objects.create(name="c")
        assert ([call["sender"] for call in calls], len(alone)) == ([Group], 1)
    finally:
        del apps.all_models["dispatch"]
        apps.clear_cache()


BLOCKS: list[Callable[[], Block[Any]]] = [
    lambda: mute(Shop),
    lambda: acting_as(User(username="ada"), source="job", request_id="a-request"),
    lambda: acting_in(RequestFactory().get("/"), request_id="a-request"),
    in_a_job,
]


def state() -> tuple[Any, ...]:
    return (dispatch._muted.get(), actor._actors.get())


@pytest.mark.parametrize("make", BLOCKS)
def test_a_block_decorates_coroutines_too(make: Callable[[], Block[Any]]) -> None:
    before = state()
    inside: list[Any] = []

    decorate = make()

    @decorate
    async def run(depth: int) -> str:
        await asyncio.sleep(0)
        inside.append(state())
        return "ran" if not depth else await run(depth - 1)

    @decorate
    def run_now(depth: int) -> str:
        inside.append(state())
        return "ran" if not depth else run_now(depth - 1)

    async def twice() -> list[str]:
        return list(await asyncio.gather(run(2), run(1)))

    assert (asyncio.run(twice()), run_now(2)) == (["ran", "ran"], "ran")
    assert len(inside) == 8
    assert all(each != before for each in inside)
    assert state() == before


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return run


def numbers() -> Any:
    yield 1


async def later() -> Any:
    yield 1


class Test:
    """Neither a function nor a coroutine."""

    async def __call__(self) -> None: ...


@pytest.mark.parametrize("make", BLOCKS)
def test_a_block_reaches_a_coroutine_below_another_decorator(
    make: Callable[[], Block[Any]],
) -> None:
    @make()
    @wrapped
    async def run() -> tuple[Any, ...]:
        await asyncio.sleep(0)
        return state()

    before = state()
    assert asyncio.run(run()) != before
    assert state() == before


@pytest.mark.parametrize("make", BLOCKS)
@pytest.mark.parametrize(
    "function",
    [
        numbers,
        later,
        wrapped(numbers),
        wrapped(later),
        Test,
        Test(),
        functools.partial(later),
        staticmethod(print),
        classmethod(print),
    ],
)
def test_a_block_refuses_what_would_run_outside_of_it(
    make: Callable[[], Block[Any]], function: Any
) -> None:
    with pytest.raises(TypeError, match="write the block inside"):
        make()(function)


@pytest.mark.parametrize("make", BLOCKS)
def test_a_block_can_be_used_again_within_itself_and_by_several(
    make: Callable[[], Block[Any]],
) -> None:
    before, shared = state(), make()

    def depth() -> int:
        return len(state()[0]) + len(state()[1])

    async def enter(mine: asyncio.Event, other: asyncio.Event) -> int:
        with shared:
            mine.set()
            await other.wait()
            return depth()

    async def both() -> list[int]:
        one, two = asyncio.Event(), asyncio.Event()
        return list(await asyncio.gather(enter(one, two), enter(two, one)))

    for _ in range(2):
        with shared:
            with shared:
                assert depth() == 2
            assert depth() == 1
    assert (asyncio.run(both()), state()) == ([1, 1], before)


@pytest.mark.parametrize("make", BLOCKS)
def test_a_generator_that_is_closed_elsewhere_closes_no_other_block(
    make: Callable[[], Block[Any]],
) -> None:
    def numbers() -> Generator[int]:
        with make():
            yield 1

    generator = numbers()
    contextvars.copy_context().run(next, generator)
    with make():
        inside = state()
        generator.close()
        assert state() == inside


def test_a_receiver_keeps_its_types() -> None:
    """mypy checks this file. If it accepted the line, it would report the ignore as unused."""

    @receiver(ordered)
    def double(sender: Any, number: int = 0, **kwargs: Any) -> int:
        return 2 * number

    assert double("shop", number="1") == "11"  # type: ignore[arg-type,comparison-overlap]
