"""The learning path's table of built-in signals, made of what Django really sends."""

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import django
import pytest
from asgiref.sync import async_to_sync
from django.apps import AppConfig
from django.conf import Settings, UserSettingsHolder
from django.contrib.auth import signals as auth
from django.core import signals as core
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.backends import signals as backends
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import signals
from django.dispatch import Signal
from django.tasks import signals as tasks
from django.tasks import task
from django.tasks.backends.base import BaseTaskBackend
from django.template import Template
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.test import signals as testing

from apps.accounts.models import User
from apps.taskboard.models import Project, Task

from ..helpers import at_once, received
from .documents import HOW, LEARNING_PATH, UPDATED, to_update

pytestmark = pytest.mark.django_db
START, END = "<!-- the built-in signals -->\n", "<!-- end -->\n"


@task
def nothing() -> None:
    """Do nothing."""


def prepare_class() -> None:
    class Passing(Project):
        class Meta:
            proxy = True
            app_label = "taskboard"

    del Passing._meta.apps.all_models["taskboard"]["passing"]
    Passing._meta.apps.clear_cache()


def save() -> None:
    Project.objects.create(name="A").save()


def delete() -> None:
    for delete in (Project(name="A"), Project(name="B")):
        delete.save()
    Project.objects.all()[0].delete()
    Project.objects.all().delete()


def change_links() -> None:
    person = User.objects.create_user("grace")
    item = Task.objects.create(project=Project.objects.create(name="A"), title="A")
    item.assignees.add(person)
    person.tasks.clear()


def get() -> None:
    """Send requests as servers do: the clients for tests name no handler in the end.

    In another thread, since handlers close the connection to the database.
    """
    at_once(1, get_in_thread)


def get_in_thread() -> None:
    path = "/favicon.ico"
    response: Any = WSGIHandler()(RequestFactory().get(path).environ, mock.Mock())
    response.close()
    async_to_sync(get_by_asgi)(AsyncRequestFactory().get(path).scope)


async def get_by_asgi(scope: Any) -> None:
    messages = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        assert message["type"].startswith("http.response")

    await ASGIHandler()(scope, receive, send)


def fail() -> None:
    client = Client(raise_request_exception=False)
    with mock.patch("apps.core.views.render", side_effect=RuntimeError):
        assert client.get("/").status_code == 500


def log_in_and_out() -> None:
    User.objects.create_user("grace", password="secret")
    client = Client()
    client.post("/accounts/login/", {"username": "grace", "password": "wrong"})
    client.post("/accounts/login/", {"username": "grace", "password": "secret"})
    client.post("/accounts/logout/")


def connect() -> None:
    copy = connection.copy()
    copy.connect()
    copy.close()
    if copy.connection is not None:
        copy.connection.close()


def migrate() -> None:
    call_command("migrate", verbosity=0)


def run_job() -> None:
    with override_settings(
        TASKS={"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    ):
        nothing.enqueue()


def change_setting() -> None:
    with override_settings(TIME_ZONE="Europe/Berlin"):
        pass


SENDERS: dict[str, Callable[[Any], bool]] = {
    "`None`": lambda sender: sender is None,
    "app configuration": lambda sender: isinstance(sender, AppConfig),
    "backend class": lambda sender: issubclass(sender, BaseTaskBackend),
    "connection class": lambda sender: issubclass(sender, BaseDatabaseWrapper),
    "handler class": lambda sender: issubclass(sender, BaseHandler),
    "join table": lambda sender: sender is Task.assignees.through,
    "model": lambda sender: issubclass(sender, models.Model),
    "module name": lambda sender: sender == "django.contrib.auth",
    "settings class": lambda sender: issubclass(sender, (Settings, UserSettingsHolder)),
    "template": lambda sender: isinstance(sender, Template),
    "user class": lambda sender: sender is User,
}

# The signal, when Django sends it, who the sender is, and what makes Django send it.
SIGNALS: list[tuple[str, Signal, str, str, Callable[[], Any]]] = [
    ("class_prepared", signals.class_prepared, "a model class is ready", "model", prepare_class),
    ("pre_init", signals.pre_init, "at the start of `__init__()`", "model", save),
    ("post_init", signals.post_init, "at the end of `__init__()`", "model", save),
    ("pre_save", signals.pre_save, "before a row is written by `save()`", "model", save),
    ("post_save", signals.post_save, "after it has been written", "model", save),
    ("pre_delete", signals.pre_delete, "before rows are deleted", "model", delete),
    ("post_delete", signals.post_delete, "after each is deleted", "model", delete),
    (
        *("m2m_changed", signals.m2m_changed),
        *("twice for each add, remove and clear", "join table", change_links),
    ),
    (
        "pre_migrate",
        signals.pre_migrate,
        "before `migrate`, for each app",
        "app configuration",
        migrate,
    ),
    (
        "post_migrate",
        signals.post_migrate,
        "after `migrate`, for each app",
        "app configuration",
        migrate,
    ),
    ("request_started", core.request_started, "a request comes in", "handler class", get),
    ("request_finished", core.request_finished, "its response is closed", "handler class", get),
    ("got_request_exception", core.got_request_exception, "a view raises", "`None`", fail),
    (
        "setting_changed",
        core.setting_changed,
        "tests override one",
        "settings class",
        change_setting,
    ),
    (
        "template_rendered",
        testing.template_rendered,
        "tests render one",
        "template",
        log_in_and_out,
    ),
    (
        *("connection_created", backends.connection_created),
        *("a database is connected to", "connection class", connect),
    ),
    ("user_logged_in", auth.user_logged_in, "after a login", "user class", log_in_and_out),
    ("user_logged_out", auth.user_logged_out, "after a logout", "user class", log_in_and_out),
    ("user_login_failed", auth.user_login_failed, "after a refusal", "module name", log_in_and_out),
    ("task_enqueued", tasks.task_enqueued, "a job is queued", "backend class", run_job),
    ("task_started", tasks.task_started, "a job starts", "backend class", run_job),
    ("task_finished", tasks.task_finished, "a job ends, well or not", "backend class", run_job),
]


def arguments_of(signal: Signal, sender: str, send: Callable[[], Any]) -> str:
    """List the arguments that Django sends; those of some occasions only with "or"."""
    with received(signal) as calls, transaction.atomic():
        send()
        transaction.set_rollback(True)
    assert calls
    assert all(SENDERS[sender](call["sender"]) for call in calls), calls
    everything = list(dict.fromkeys(name for call in calls for name in call if name != "sender"))
    always = [name for name in everything if all(name in call for call in calls)]
    sometimes = [name for name in everything if name not in always]
    listed = [f"`{name}`" for name in always]
    if sometimes:
        listed.append(" or ".join(f"`{name}`" for name in sometimes))
    return ", ".join(listed) or "none"


def test_the_table_of_built_in_signals_is_what_django_sends() -> None:
    table = ["| Signal | Sent when | Sender | Arguments |", "|---|---|---|---|"]
    for name, signal, when, sender, send in SIGNALS:
        table.append(f"| `{name}` | {when} | {sender} | {arguments_of(signal, sender, send)} |")
    page = to_update(LEARNING_PATH) if UPDATED else LEARNING_PATH
    text = page.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    old, end, after = rest.partition(END)
    assert start
    assert end
    new = "\n".join(["", *table, "", ""])
    if UPDATED:
        page.write_text(before + start + new + end + after, encoding="utf-8")
    else:
        assert old == new, HOW


def test_the_table_has_every_built_in_signal() -> None:
    found: dict[Signal, str] = {}
    root = Path(django.__file__).parent
    for file in root.rglob("signals.py"):
        module = importlib.import_module(
            ".".join(file.relative_to(root.parent).with_suffix("").parts)
        )
        found |= {value: name for name, value in vars(module).items() if isinstance(value, Signal)}
    assert found == {signal: name for name, signal, *_ in SIGNALS}


def test_the_arguments_that_old_tables_lack_are_sent() -> None:
    with received(signals.pre_delete, Project) as calls:
        delete()
    assert [isinstance(call["origin"], models.QuerySet) for call in calls] == [False, True]
    with received(signals.m2m_changed) as calls:
        change_links()
    assert [(call["raw"], call["using"]) for call in calls] == [(False, "default")] * 4
