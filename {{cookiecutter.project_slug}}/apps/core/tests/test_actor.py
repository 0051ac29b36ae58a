"""The acting user: looked up late, never leaked, without cost if the view does not ask."""

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from apps.accounts.models import User
from apps.core.actor import acting_as, acting_in, current_actor, in_a_job
from apps.core.actor import current_request_id as request_id
from apps.core.actor import current_source as source


def name_of_actor() -> str:
    actor = current_actor()
    return actor.get_username() if actor else "nobody"


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(name_of_actor())


async def who_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await sync_to_async(name_of_actor)())


def token(request: HttpRequest) -> HttpResponse:
    """Authenticate inside the view, as Django REST framework does."""
    request.user = User.objects.get(username="ada")
    return HttpResponse(name_of_actor())


def whence(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{source()} {request_id()}")


urlpatterns = [path(f"{view.__name__}/", view) for view in (who, who_async, token, whence)]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.mark.parametrize("url", ["/who/", "/who_async/"])
def test_the_user_of_the_session_acts_in_the_request_only(ada: User, url: str) -> None:
    known = Client()
    known.force_login(ada)
    assert known.get(url).text == "ada"
    assert Client().get(url).text == "nobody"
    assert (current_actor(), request_id()) == (None, "")


def test_a_user_who_is_authenticated_inside_the_view_acts(client: Client, ada: User) -> None:
    assert client.get("/token/").text == "ada"


def test_a_view_that_does_not_ask_costs_no_query(client: Client, ada: User) -> None:
    client.force_login(ada)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get("/whence/")
    assert len(queries) == 0
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_a_named_actor_ends_with_its_block(ada: User) -> None:
    with acting_in(HttpRequest(), request_id="the-request"), acting_as(ada):
        with in_a_job():
            assert (name_of_actor(), source()) == ("ada", "job")
        with acting_as(None):
            assert current_actor() is None
        assert (source(), request_id()) == ("request", "the-request")
    assert (name_of_actor(), source(), request_id()) == ("nobody", "command", "")
