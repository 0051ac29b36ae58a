"""Who is named on the trail, however the user came into the request."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser

from apps.audit.models import Entry
from apps.core.actor import acting_as

from ..examples.models import Author
from ..test_actor import actors, ada

pytestmark = [pytest.mark.django_db, pytest.mark.urls("apps.audit.tests.examples.urls")]


@pytest.fixture
def bob(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("bob")


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


def test_a_view_that_writes_nothing_looks_nobody_up(
    client: Any, ada: Any, django_assert_num_queries: Any
) -> None:
    client.force_login(ada)
    with django_assert_num_queries(1):
        response = client.get("/read/")
    assert "Vary" not in response.headers


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
