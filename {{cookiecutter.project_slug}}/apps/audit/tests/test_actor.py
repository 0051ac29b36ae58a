"""Who is named on the trail."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path

from apps.audit.models import Entry

from .examples.models import Author


def write(request: HttpRequest) -> HttpResponse:
    Author.objects.create(name=request.GET["name"])
    return HttpResponse()


def leave(request: HttpRequest) -> HttpResponse:
    """Delete one's own account."""
    request.user.delete()
    return HttpResponse()


urlpatterns = [path("write/", write), path("leave/", leave)]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


def actors(label: str = "audit_examples.Author") -> list[tuple[Any, str]]:
    entries = Entry.objects.filter(model_label=label).order_by("pk")
    return list(entries.values_list("actor_id", "actor_name"))


def test_the_user_of_the_request_and_nobody_in_the_next(client: Any, ada: Any) -> None:
    client.force_login(ada)
    response = client.get("/write/", {"name": "One"})
    client.logout()
    client.get("/write/", {"name": "Two"})
    Author.objects.create(name="Three")
    assert actors() == [(ada.pk, "ada"), (None, ""), (None, "")]
    entry = Entry.objects.filter(model_label="audit_examples.Author").last()
    assert entry is not None
    assert (entry.source, entry.request_id) == ("request", response["X-Request-ID"])


def test_users_who_delete_their_own_account_stay_on_the_trail(client: Any, ada: Any) -> None:
    client.force_login(ada)
    client.get("/leave/")
    assert actors("accounts.User")[-1] == (ada.pk, "ada")
    assert Entry.objects.of(ada)[0].object_repr == "ada"
