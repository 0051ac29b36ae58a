"""Tests that are planted into a project beside the packages of tests/support/packages.py."""

import base64
import json
import re
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from apps.accounts.models import User
from apps.audit.models import Entry
from apps.core.actor import current_actor
from apps.core.dispatch import mute
from apps.profiles.models import Profile
from apps.profiles.receivers import create_profile
from apps.taskboard.models import Project
from apps.welcome_email.models import Welcome
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.core import mail
from django.db.models.signals import post_save
from django.test import Client
from guardian.shortcuts import assign_perm
from import_export.resources import ModelResource
from rest_framework.test import APIClient
from tablib import Dataset

from .consumers import ItemConsumer
from .factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("jobs_in_process")]


def social_sign_up(client: Client) -> Any:
    """Sign up with an account elsewhere: what allauth's buttons and that site do."""
    away = client.post("/social/dummy/login/")
    person = {"id": 1, "email": "ada@example.com", "username": "ada", "email_verified": "on"}
    return client.post(away.headers["Location"], person)


@pytest.mark.django_db(transaction=True)
def test_a_social_sign_up_ends_with_user_profile_and_welcome(client: Client) -> None:
    assert social_sign_up(client).status_code == 302
    ada = User.objects.get()
    assert SocialAccount.objects.get().user == ada
    assert Profile.objects.get().user == ada
    assert Welcome.objects.get().sent_at is not None
    assert [sent.to for sent in mail.outbox] == [["ada@example.com"]]
    assert "Log out ada" in client.get("/").text


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("connections_as_before")
def test_a_social_sign_up_whose_receiver_fails_ends_with_nothing(client: Client) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no luck")

    post_save.connect(fail, sender=User, weak=False)
    with pytest.raises(RuntimeError, match="no luck"):
        social_sign_up(client)
    for model in (User, SocialAccount, Profile, Welcome):
        assert not model._base_manager.exists(), model
    assert mail.outbox == []


def test_a_social_login_leaves_for_the_site_that_the_page_about_the_policy_names(
    client: Client, settings: Any
) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {"APPS": [{"client_id": "us", "secret": "key"}]}}
    policy = client.get("/social/google/login/").headers["Content-Security-Policy"]
    assert "form-action 'self';" in f"{policy};"
    away = client.post("/social/google/login/").headers["Location"]
    site = "/".join(away.split("/")[:3])
    text = (settings.BASE_DIR / "docs" / "production.md").read_text(encoding="utf-8")
    assert f'SECURE_CSP["form-action"] += ["{site}"]' in text


def test_a_factory_changes_the_profile_that_the_receiver_creates() -> None:
    ada = UserFactory(profile__display_name="Ada")
    assert (Profile.objects.get().user, ada.profile.display_name) == (ada, "Ada")
    UserFactory()
    with mute(create_profile):
        UserFactory()
    assert (User.objects.count(), Profile.objects.count()) == (3, 2)


@pytest.mark.django_db(transaction=True)
def test_a_consumer_names_who_is_acting() -> None:
    ada = User.objects.create_user("ada")
    noted = []

    def note(**kwargs: Any) -> None:
        noted.append(current_actor())

    async def converse() -> None:
        scope = {"type": "websocket", "path": "/", "user": ada}
        communicator = ApplicationCommunicator(ItemConsumer.as_asgi(), scope)
        await communicator.send_input({"type": "websocket.connect"})
        assert (await communicator.receive_output())["type"] == "websocket.accept"
        text = json.dumps({"name": "Engine"})
        await communicator.send_input({"type": "websocket.receive", "text": text})
        while not await database_sync_to_async(Project.objects.exists)():
            assert await communicator.receive_nothing(timeout=0.01)
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait()

    post_save.connect(note, sender=Project)
    try:
        async_to_sync(converse)()
    finally:
        post_save.disconnect(note, sender=Project)
    assert noted == [ada]
    assert Entry.objects.get(model_label="taskboard.Project").actor_name == "ada"


def test_an_api_names_who_is_acting() -> None:
    """The user is authenticated by the view, after every middleware."""
    ada = User.objects.create_user("ada", password="a long pass phrase")
    client = APIClient()
    assert client.post("/api/projects/", {"name": "Engine"}).status_code in (401, 403)
    token = base64.b64encode(b"ada:a long pass phrase").decode()
    client.credentials(HTTP_AUTHORIZATION=f"Basic {token}")
    assert client.post("/api/projects/", {"name": "Engine"}).status_code == 201
    entry = Entry.objects.get(model_label="taskboard.Project")
    assert (entry.actor_name, entry.actor_id) == ("ada", ada.pk)


def test_an_import_sends_signals_for_each_row() -> None:
    class UserResource(ModelResource):
        class Meta:
            model = User
            fields = ("id", "username", "email")

    people = ["", "ada", "ada@example.com"], ["", "grace", ""]
    rows = Dataset(*people, headers=UserResource.Meta.fields)
    result = UserResource().import_data(rows, raise_errors=True)
    assert result.totals["new"] == 2
    assert Profile.objects.count() == 2
    assert list(Welcome.objects.owed().values_list("user__username", flat=True)) == ["ada"]


def test_a_permission_for_one_object_opens_it_in_the_admin(client: Client) -> None:
    ada = User.objects.create_user("ada", is_staff=True)
    project = Project.objects.create(name="Engine")
    assert not ada.has_perm("taskboard.change_project", project)
    assign_perm("taskboard.change_project", ada, project)
    assert ada.has_perm("taskboard.change_project", project)


def test_the_toolbar_lists_the_receivers_of_the_project(client: Client) -> None:
    client.force_login(User.objects.create_user("ada"))
    page = client.get("/taskboard/?toolbar")
    assert 'id="djDebugRoot"' in page.text
    (request,) = re.findall(r'data-request-id="(\w+)"', page.text)
    asked = {"request_id": request, "panel_id": "SignalsPanel", "toolbar": ""}
    assert "create_profile" in client.get("/__debug__/render_panel/", asked).json()["content"]
