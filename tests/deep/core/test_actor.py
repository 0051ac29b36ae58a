"""The acting user: found late, never leaked, and free where the view does not ask."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import asyncio
import threading
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import alogin, login
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import User
from apps.core.actor import (
    acting_as,
    acting_in,
    current_actor,
    current_impersonator,
    current_request_id,
    current_source,
    in_a_job,
)

from ..test_actor import ada, name_of_actor, token, who, who_async


def whence(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{current_source()} {current_request_id()}")


async def whence_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{current_source()} {current_request_id()}")


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing")


def failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError


def log_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username="ada"))
    return HttpResponse(name_of_actor())


async def log_in_async(request: HttpRequest) -> HttpResponse:
    await alogin(request, await User.objects.aget(username="ada"))
    return HttpResponse(await sync_to_async(name_of_actor)())


def who_by_the_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user.get_username()}, {name_of_actor()}")


class Asking(ModelBackend):
    """Asks for the actor during the lookup, like a backend that writes when a user was seen."""

    seen: ClassVar[list[str]] = []

    def get_user(self, user_id: Any) -> Any:
        self.seen.append(name_of_actor())
        with acting_as(User(username="named")):
            self.seen.append(name_of_actor())
        return super().get_user(user_id)


urlpatterns = [
    path("who/", who),
    path("who-by-the-view/", who_by_the_view),
    path("who-async/", who_async),
    path("whence/", whence),
    path("whence-async/", whence_async),
    path("nothing/", nothing),
    path("failing/", failing),
    path("log-in/", log_in),
    path("log-in-async/", log_in_async),
    path("token/", token),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.mark.parametrize("url", ["/who/", "/who-async/"])
def test_the_user_of_the_session_acts(client: Client, ada: User, url: str) -> None:
    client.force_login(ada)
    assert client.get(url).text == "ada"


@pytest.mark.parametrize("url", ["/who/", "/who-async/"])
def test_the_next_request_does_not_see_the_former_user(ada: User, url: str) -> None:
    known, stranger = Client(), Client()
    known.force_login(ada)
    assert known.get(url).text == "ada"
    assert stranger.get(url).text == "nobody"
    assert current_actor() is None
    assert current_source() == "command"


def test_a_request_that_fails_leaves_no_actor(client: Client, ada: User) -> None:
    client.force_login(ada)
    client.raise_request_exception = False
    assert client.get("/failing/").status_code == 500
    assert current_actor() is None


@pytest.mark.parametrize("url", ["/log-in/", "/log-in-async/", "/token/"])
def test_a_user_who_is_authenticated_inside_the_view_acts(
    client: Client, ada: User, url: str
) -> None:
    assert client.get(url).text == "ada"


def test_a_view_that_does_not_ask_costs_no_query_and_no_vary(client: Client, ada: User) -> None:
    client.force_login(ada)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get("/nothing/")
    assert len(queries) == 0
    assert "Cookie" not in answer.headers.get("Vary", "")


@pytest.mark.parametrize("url", ["/who/", "/who-async/", "/log-in/", "/log-in-async/", "/token/"])
def test_under_asgi_each_request_has_its_own_actor(ada: User, url: str) -> None:
    async def visit() -> tuple[str, str]:
        stranger = AsyncClient()
        answer = await stranger.get(url)
        after = await AsyncClient().get("/who-async/")
        return answer.content.decode(), after.content.decode()

    expected = "nobody" if "who" in url else "ada"
    # Unlike asyncio.run, this leaves no thread with an open connection.
    assert async_to_sync(visit)() == (expected, "nobody")


def test_two_interleaved_coroutines_have_two_actors(ada: User) -> None:
    grace = User(username="grace")

    async def act(user: User, mine: asyncio.Event, other: asyncio.Event) -> str:
        with acting_as(user):
            mine.set()
            await other.wait()
            return name_of_actor()

    async def both() -> tuple[str, str]:
        first, second = asyncio.Event(), asyncio.Event()
        first_actor, second_actor = await asyncio.gather(
            act(ada, first, second), act(grace, second, first)
        )
        return first_actor, second_actor

    assert asyncio.run(both()) == ("ada", "grace")


def test_another_thread_has_no_actor(ada: User) -> None:
    seen: list[str] = []
    with acting_as(ada):
        thread = threading.Thread(target=lambda: seen.append(name_of_actor()))
        thread.start()
        thread.join()
    assert seen == ["nobody"]


def test_a_named_actor_ends_with_the_block(ada: User) -> None:
    with acting_as(ada):
        with acting_as(None):
            assert current_actor() is None
        assert current_actor() == ada
    assert current_actor() is None


def test_the_user_of_the_request_is_known_while_code_acts_as_another(ada: User) -> None:
    grace = User.objects.create(username="grace")
    request = RequestFactory().get("/")
    request.user = ada
    with acting_as(ada):
        assert current_impersonator() is None
    with acting_in(request):
        assert current_impersonator() is None
        with acting_as(grace):
            assert (current_actor(), current_impersonator()) == (grace, ada)
            with in_a_job(), acting_as(User(pk=7)):
                assert current_impersonator() == ada
        for user in (ada, None):
            with acting_as(user):
                assert (current_actor(), current_impersonator()) == (user, None)
    request.user = AnonymousUser()
    with acting_in(request), acting_as(grace):
        assert current_impersonator() is None


def test_an_anonymous_visitor_is_no_actor() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    with acting_in(request):
        assert current_actor() is None
        assert current_source() == "request"


def test_a_request_without_a_user_has_no_actor() -> None:
    request: Any = RequestFactory().get("/")
    with acting_in(request):
        assert current_actor() is None


@pytest.mark.parametrize("url", ["/whence/", "/whence-async/"])
def test_the_response_names_the_id_of_its_request(client: Client, url: str) -> None:
    first, second = client.get(url), client.get(url)
    assert first.text == f"request {first.headers['X-Request-ID']}"
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert current_request_id() == ""


GIVEN = "proxy-1.2_3"


@pytest.mark.parametrize(
    ("trusted", "given", "taken"),
    [
        (True, GIVEN, True),
        (False, GIVEN, False),
        (True, "short", False),
        (True, "a" * 65, False),
        (True, "forged\nERROR line", False),
    ],
)
def test_an_id_is_taken_from_a_trusted_proxy_only(
    client: Client, settings: Any, trusted: bool, given: str, taken: bool
) -> None:
    settings.TRUST_REQUEST_ID = trusted
    answer = client.get("/whence/", headers={"x-request-id": given})
    assert (answer.headers["X-Request-ID"] == given) is taken
    assert len(answer.headers["X-Request-ID"]) == (len(given) if taken else 32)


def test_a_named_actor_stays_in_its_request() -> None:
    with (
        acting_in(RequestFactory().get("/"), request_id="the-request"),
        acting_as(User(username="ada")),
    ):
        assert (current_source(), current_request_id()) == ("request", "the-request")
        with in_a_job():
            assert (current_source(), current_request_id()) == ("job", "the-request")
            assert name_of_actor() == "ada"
    assert (current_source(), current_request_id()) == ("command", "")


def test_a_job_knows_the_request_that_led_to_it() -> None:
    with acting_as(None, source="job", request_id="the-request"):
        assert (current_source(), current_request_id()) == ("job", "the-request")


@pytest.mark.parametrize(
    ("url", "answer", "seen"),
    [
        ("/who/", "ada", ["nobody", "named"]),
        ("/who-async/", "ada", ["nobody", "named"]),
        # The view starts the lookup here, so the actor needs a second one.
        ("/who-by-the-view/", "ada, ada", ["nobody", "named", "ada", "named"]),
    ],
)
def test_a_lookup_of_the_user_has_no_actor(
    client: Client, ada: User, settings: Any, url: str, answer: str, seen: list[str]
) -> None:
    Asking.seen.clear()
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Asking"]
    client.force_login(ada)
    assert client.get(url).text == answer
    assert Asking.seen == seen


def test_a_lookup_of_a_named_user_has_no_actor(ada: User) -> None:
    seen: list[str] = []

    def look_up() -> User:
        with in_a_job():
            seen.append(name_of_actor())
        return ada

    with acting_as(SimpleLazyObject(look_up)):  # type: ignore[arg-type]
        assert name_of_actor() == "ada"
    assert seen == ["nobody"]
