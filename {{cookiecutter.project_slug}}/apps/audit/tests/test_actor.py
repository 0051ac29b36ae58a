"""Who is named on the trail, however the user came into the request."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from apps.audit.models import Entry
from apps.core.actor import acting_as, in_a_job

from .examples.models import Author

pytestmark = [pytest.mark.django_db, pytest.mark.urls("apps.audit.tests.examples.urls")]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


def actors(label: str = "audit_examples.Author") -> list[tuple[Any, str]]:
    entries = Entry.objects.filter(model_label=label).order_by("id")
    return list(entries.values_list("actor_id", "actor_name"))


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


def test_users_who_delete_their_own_account_stay_on_the_trail(client: Any, ada: Any) -> None:
    client.force_login(ada)
    assert client.get("/leave/").status_code == 200
    assert actors("accounts.User")[-1] == (ada.pk, "ada")
    entry = Entry.objects.of(ada)[0]
    assert (entry.action, entry.object_repr) == ("delete", "ada")


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
