"""Who is named on the trail, however the user came into the request."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.db import connection

from apps.audit.models import Entry
from apps.core.actor import acting_as, in_a_job

from ..examples.models import Author

pytestmark = [pytest.mark.django_db, pytest.mark.urls("apps.audit.tests.deep.urls")]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


def actors(label: str = "audit_examples.Author") -> list[tuple[Any, str]]:
    entries = Entry.objects.filter(model_label=label).order_by("pk")
    return list(entries.values_list("actor_id", "actor_name"))


@pytest.fixture
def bob(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("bob")


@pytest.mark.parametrize("url", ["/write/", "/write-async/"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_user_of_the_session(
    url: str, asynchronous: bool, client: Any, async_client: Any, ada: Any
) -> None:
    used = async_client if asynchronous else client
    used.force_login(ada)
    get = async_to_sync(used.get) if asynchronous else used.get
    get(url, {"name": "One"})
    assert actors() == [(ada.pk, "ada")]


@pytest.mark.parametrize("url", ["/write/", "/write-async/"])
def test_the_next_request_does_not_inherit_the_user(
    url: str, client: Any, async_client: Any, ada: Any
) -> None:
    client.force_login(ada)
    client.get(url, {"name": "One"})
    client.logout()
    client.get(url, {"name": "Two"})
    async_to_sync(async_client.get)(url, {"name": "Three"})
    Author.objects.create(name="Four")
    assert actors() == [(ada.pk, "ada"), (None, ""), (None, ""), (None, "")]


def test_where_a_change_came_from(client: Any) -> None:
    response = client.get("/write/", {"name": "One"})
    with acting_as(None, source="job", request_id="from-elsewhere"):
        Author.objects.create(name="Two")
    with in_a_job():
        Author.objects.create(name="Three")
    Author.objects.create(name="Four")
    found = Entry.objects.filter(model_label="audit_examples.Author").order_by("id")
    assert list(found.values_list("source", "request_id")) == [
        ("request", response["X-Request-ID"]),
        ("job", "from-elsewhere"),
        ("job", ""),
        ("command", ""),
    ]


def test_a_user_authenticated_inside_the_view(client: Any, ada: Any) -> None:
    client.get("/authenticate-late/", {"name": "One", "username": "ada"})
    assert actors() == [(ada.pk, "ada")]


def test_a_login_inside_the_view(client: Any, ada: Any, bob: Any) -> None:
    client.get("/log-in/", {"name": "One", "username": "ada"})
    client.get("/log-in/", {"name": "Two", "username": "bob"})
    assert actors() == [(ada.pk, "ada"), (bob.pk, "bob")]


def test_interleaved_coroutines_keep_their_actors(ada: Any, bob: Any) -> None:
    async def write(user: Any, name: str) -> None:
        with acting_as(user):
            for _ in range(3):
                await asyncio.sleep(0)
                await Author.objects.acreate(name=name)

    async def both() -> None:
        await asyncio.gather(write(ada, "by ada"), write(bob, "by bob"))

    async_to_sync(both)()
    for entry in Entry.objects.filter(model_label="audit_examples.Author"):
        assert entry.object_repr == f"by {entry.actor_name}"


def test_a_named_actor_and_none(ada: Any) -> None:
    with acting_as(ada):
        Author.objects.create(name="One")
        with acting_as(None):
            Author.objects.create(name="Two")
    with acting_as(AnonymousUser()):  # type: ignore[arg-type]
        Author.objects.create(name="Three")
    assert actors() == [(ada.pk, "ada"), (None, ""), (None, "")]


@pytest.mark.parametrize("url", ["/read/", "/write-unaudited/"])
def test_a_view_that_writes_nothing_audited_looks_nobody_up(
    url: str, client: Any, ada: Any, django_assert_num_queries: Any
) -> None:
    client.force_login(ada)
    with django_assert_num_queries(1):
        response = client.get(url)
    assert response.content == (b"0" if url == "/read/" else b"1")
    assert "Vary" not in response.headers


def test_a_view_that_fails_leaves_no_actor_behind(client: Any, ada: Any) -> None:
    client.force_login(ada)
    with pytest.raises(RuntimeError):
        client.get("/write-and-fail/", {"name": "One"})
    Author.objects.create(name="Two")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO audit_examples_author (name) VALUES ('Three')")
    assert actors() == [(ada.pk, "ada"), (None, ""), (None, "")]


def test_all_rows_of_a_statement_have_the_same_actor(ada: Any, bob: Any) -> None:
    with acting_as(ada):
        Author.objects.bulk_create(Author(name="One") for _ in range(3))
    with acting_as(bob):
        Author.objects.update(name="Two")
    assert actors() == [(ada.pk, "ada")] * 3 + [(bob.pk, "bob")] * 3


class LastSeen(ModelBackend):
    """Writes to the user whom it looks up."""

    def get_user(self, user_id: Any) -> Any:
        user = super().get_user(user_id)
        if user is not None:
            user.first_name = "seen"
            user.save(update_fields=["first_name"])
        return user


def test_a_backend_may_write_while_it_looks_the_user_up(
    client: Any, ada: Any, settings: Any
) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.LastSeen"]
    client.force_login(ada)
    assert client.get("/write/", {"name": "One"}).status_code == 200
    assert actors() == [(ada.pk, "ada")]
    (entry,) = Entry.objects.of(ada).filter(action="update")
    assert (entry.actor_name, list(entry.changes)) == ("", ["first_name"])


def test_users_who_delete_their_own_account_stay_on_the_trail(client: Any, ada: Any) -> None:
    client.force_login(ada)
    client.get("/leave/")
    assert actors("accounts.User")[-1] == (ada.pk, "ada")
    assert Entry.objects.of(ada)[0].object_repr == "ada"
