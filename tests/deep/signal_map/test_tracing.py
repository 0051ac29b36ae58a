"""Development shows the cost of receivers, and measuring costs nothing in production."""

import logging
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db.models.signals import ModelSignal, post_save, pre_save
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from apps.accounts.models import User
from apps.core import watch
from apps.core.dispatch import mute, receiver
from apps.core.jobs import hand_off
from apps.core.tests.test_settings import read  # noqa: F401 (a fixture)
from apps.signal_map import tracing

from ..test_tracing import count_groups

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    # In this order: connections_as_before remembers the empty lists.
    pytest.mark.usefixtures("only_our_receivers", "connections_as_before"),
]

told = Signal()
SENT: list[ModelSignal] = [pre_save, post_save]


@pytest.fixture
def only_our_receivers() -> Iterator[None]:
    """Leave out what the modules of the project do when a user is saved."""
    before = [signal.receivers for signal in SENT]
    listen([[] for _ in SENT])
    yield
    listen(before)


def listen(receivers: list[list[Any]]) -> None:
    """Give each of the signals these receivers."""
    for signal, own in zip(SENT, receivers, strict=True):
        with signal.lock:
            signal.receivers = own
            signal.sender_receivers_cache.clear()


def save_user(request: HttpRequest) -> HttpResponse:
    User.objects.create(username="ada")
    return HttpResponse("saved")


async def save_user_async(request: HttpRequest) -> HttpResponse:
    await User.objects.acreate(username="ada")
    return HttpResponse("saved")


async def tell(request: HttpRequest) -> HttpResponse:
    await told.asend("teller")
    return HttpResponse("told")


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing")


def reset(request: HttpRequest, token: str) -> HttpResponse:
    User.objects.create(username="ada")
    response = HttpResponse("reset")
    response.headers["Server-Timing"] = "view;dur=1"
    return response


urlpatterns = [
    path("save/", save_user),
    path("save-async/", save_user_async),
    path("tell/", tell),
    path("nothing/", nothing),
    path("reset/<str:token>/", reset),
]


def connect_counting() -> None:
    """Connect a receiver that asks the database twice, once of it by way of another receiver."""

    @receiver(post_save, sender=User)
    def count_and_group(sender: Any, **kwargs: Any) -> None:
        """Count users, and create a group."""
        User.objects.count()
        Group.objects.create(name="everybody")

    @receiver(post_save, sender=Group)
    def count_in_turn(sender: Any, **kwargs: Any) -> None:
        """Count groups."""
        Group.objects.count()


def timings(header: str) -> dict[str, str]:
    """Return name to description of each entry of a header, and check its form."""
    entry = re.compile(r'([\w.-]+);dur=(\d+\.\d);desc="([^"]*)"')
    found = {each[1]: each[3] for each in entry.finditer(header)}
    assert len(found) == len(header.split(", ")) - header.count(" calls,") - header.count(" call,")
    return found


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("url", ["/save/", "/save-async/"])
@pytest.mark.parametrize("under_asgi", [False, True])
def test_the_header_names_the_receivers_and_their_queries(url: str, under_asgi: bool) -> None:
    connect_counting()
    if under_asgi:
        answer: Any = async_to_sync(AsyncClient().get)(url)
    else:
        answer = Client().get(url)
    assert timings(answer.headers["Server-Timing"]) == {
        "receivers": "receivers: 2 calls, 3 queries",
        "count_and_group": "count_and_group: 1 call, 3 queries",
        "count_in_turn": "count_in_turn: 1 call, 1 query",
    }


@pytest.mark.usefixtures("traced")
def test_async_receivers_are_timed_apart_although_they_run_at_the_same_time() -> None:
    @receiver(told)
    async def one(sender: Any, **kwargs: Any) -> None:
        """Count once."""
        await User.objects.acount()

    @receiver(told)
    async def two(sender: Any, **kwargs: Any) -> None:
        """Count twice."""
        await User.objects.acount()
        await User.objects.acount()

    @receiver(told)
    def three(sender: Any, **kwargs: Any) -> None:
        """Count three times, synchronously."""
        for _ in range(3):
            User.objects.count()

    answer = async_to_sync(AsyncClient().get)("/tell/")
    found = timings(answer.headers["Server-Timing"])
    assert found.pop("receivers") == "receivers: 3 calls, 6 queries"
    assert found == {
        "one": "one: 1 call, 1 query",
        "two": "two: 1 call, 2 queries",
        "three": "three: 1 call, 3 queries",
    }
    (trace,) = tracing.kept_traces()
    assert {run.name.rpartition(".")[2]: run.phase for run in trace.runs.values()} == {
        "one": "async",
        "two": "async",
        "three": "when sent",
    }


@pytest.mark.usefixtures("traced")
def test_async_receivers_are_timed_apart_when_one_fails() -> None:
    @receiver(told)
    async def one(sender: Any, **kwargs: Any) -> None:
        """Count once."""
        await Group.objects.acount()

    @receiver(told)
    async def fail(sender: Any, **kwargs: Any) -> None:
        """Count once, and fail."""
        await Group.objects.acount()
        raise ValueError

    client = AsyncClient(raise_request_exception=False)
    answer = async_to_sync(client.get)("/tell/")
    assert answer.status_code == 500
    (trace,) = tracing.kept_traces()
    runs = {run.name.rpartition(".")[2]: (run.queries, run.failures) for run in trace.runs.values()}
    assert runs["fail"] == (1, 1)
    assert runs["one"][0] <= 1  # it is cancelled when the other one fails


@pytest.mark.usefixtures("traced")
def test_what_runs_after_the_commit_is_told_apart(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "apps.core.jobs.AfterCommitBackend"}}

    @receiver(post_save, sender=User, after_commit=True)
    def later(sender: Any, pk: int, using: str, **kwargs: Any) -> None:
        """Hand a job off, after the commit."""
        hand_off(count_groups, using=using)

    Client().get("/save/")
    (trace,) = tracing.kept_traces()
    runs = {run.name.rpartition(".")[2]: run for run in trace.runs.values()}
    assert (runs["later"].phase, runs["later"].signal) == ("after commit", post_save)
    assert runs["count_groups"].signal is None
    assert runs["count_groups"].queries == 1


@pytest.mark.usefixtures("traced")
def test_many_calls_are_one_entry(settings: Any) -> None:
    @receiver(post_save, sender=User)
    def listen(sender: Any, **kwargs: Any) -> None:
        """Do nothing."""

    with tracing.tracing("GET") as trace:
        for number in range(3):
            User.objects.create(username=f"user {number}")
    (runs,) = trace.runs.values()
    assert (runs.calls, runs.sender) == (3, "accounts.User")


@pytest.mark.usefixtures("traced")
def test_a_failure_is_counted_and_still_raised(caplog: pytest.LogCaptureFixture) -> None:
    @receiver(post_save, sender=User)
    def fail(sender: Any, **kwargs: Any) -> None:
        """Fail."""
        raise RuntimeError("no luck")

    client = Client(raise_request_exception=False)
    with caplog.at_level(logging.CRITICAL):
        answer = client.get("/save/")
    assert answer.status_code == 500
    (trace,) = tracing.kept_traces()
    (runs,) = [runs for runs in trace.runs.values() if runs.name.endswith(".fail")]
    assert (runs.failures, runs.calls, trace.status) == (1, 1, 500)


@pytest.mark.usefixtures("traced")
def test_a_muted_receiver_did_not_run() -> None:
    connect_counting()
    with mute(User):
        assert "Server-Timing" not in Client().get("/save/").headers


@pytest.mark.usefixtures("traced")
def test_the_path_which_may_hold_a_secret_is_not_kept() -> None:
    connect_counting()
    answer = Client().get("/reset/a-secret/?and=another")
    (trace,) = tracing.kept_traces()
    assert (trace.method, trace.route, trace.status) == ("GET", "/reset/<str:token>/", 200)
    assert trace.request_id == answer.headers["X-Request-ID"]


@pytest.mark.usefixtures("traced")
def test_a_header_of_the_view_is_kept() -> None:
    connect_counting()
    header = Client().get("/reset/x/").headers["Server-Timing"]
    assert header.startswith("view;dur=1, receivers;dur=")


@pytest.mark.usefixtures("traced")
def test_a_request_without_receivers_is_neither_told_nor_kept() -> None:
    assert "Server-Timing" not in Client().get("/nothing/").headers
    assert tracing.kept_traces() == []


@pytest.mark.usefixtures("traced")
def test_outside_of_requests_nothing_is_kept() -> None:
    connect_counting()
    User.objects.create(username="ada")
    assert tracing.kept_traces() == []


@pytest.mark.usefixtures("traced")
def test_only_the_last_requests_are_kept() -> None:
    connect_counting()
    for number in range(tracing.KEPT_REQUESTS + 2):
        with tracing.tracing("GET") as trace:
            trace.route = str(number)
            post_save.send(Group, instance=None)
    kept = tracing.kept_traces()
    assert [kept[0].route, kept[-1].route] == [str(tracing.KEPT_REQUESTS + 1), "2"]


def test_a_header_stays_short_whatever_runs() -> None:
    trace = tracing.Trace(method="GET", started_at=None)  # type: ignore[arg-type]
    for number in range(500):
        name = f"apps.shop.receivers.récepteur_{number}"
        key = (name, None, "", "background job")
        trace.runs[key] = tracing.Runs(*key, calls=1, seconds=number)
    header = tracing.server_timing(trace)
    assert len(header) < 2048
    assert header.isascii()
    assert "cepteur_499" in header
    assert "cepteur_0;" not in header


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SIGNAL_TRACING = False
    monkeypatch.setattr(watch, "watcher", None)
    monkeypatch.setattr(tracing, "_kept", deque())


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("under_asgi", [False, True])
def test_switched_off_nothing_is_told_timed_or_kept(
    under_asgi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_counting()
    for name in ("run", "job", "tracing", "server_timing"):
        monkeypatch.delattr(tracing, name)  # whatever calls it fails
    answer: Any = (
        async_to_sync(AsyncClient().get)("/save/") if under_asgi else Client().get("/save/")
    )
    assert answer.status_code == 200
    assert "Server-Timing" not in answer.headers
    assert tracing.kept_traces() == []


@pytest.mark.parametrize("debug", [True, False])
def test_receivers_are_timed_in_development_only(read: Any, debug: bool) -> None:  # noqa: F811
    assert read(DEBUG=str(int(debug)))["SIGNAL_TRACING"] is debug
