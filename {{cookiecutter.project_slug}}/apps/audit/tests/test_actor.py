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


urlpatterns = [path("write/", write)]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


def test_the_user_of_the_request_and_nobody_in_the_next(client: Any, ada: Any) -> None:
    client.force_login(ada)
    response = client.get("/write/", {"name": "One"})
    client.logout()
    client.get("/write/", {"name": "Two"})
    first, second = Entry.objects.filter(model_label="audit_examples.Author").order_by("pk")
    assert (first.actor_id, first.actor_name, second.actor_name) == (ada.pk, "ada", "")
    assert (first.source, first.request_id) == ("request", response["X-Request-ID"])
