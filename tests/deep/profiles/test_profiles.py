"""Every way in which a user comes into being ends with exactly one profile."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import models, transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import User
from apps.core.dispatch import mute
from apps.profiles.models import Profile, ProfileManager
from apps.profiles.receivers import create_profile

pytestmark = pytest.mark.django_db


class ProxyUser(User):
    """The user model under another name."""

    class Meta:
        proxy = True
        app_label = "accounts"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada", "ada@example.com", "secret")


def without_profile(name: str) -> User:
    """Return a user whom no signal was sent for."""
    return User._base_manager.bulk_create([User(username=name)])[0]


def test_a_new_user_has_a_profile(user: User) -> None:
    assert Profile.objects.get().user == user


def test_saving_a_user_again_creates_no_second_profile(user: User) -> None:
    user.first_name = "Ada"
    user.save()
    assert Profile.objects.count() == 1


def test_a_user_who_is_rolled_back_takes_the_profile_along() -> None:
    with transaction.atomic():
        User.objects.create_user("ada")
        transaction.set_rollback(True)
    assert not User.objects.exists()
    assert not Profile.objects.exists()


def test_a_profile_that_cannot_be_saved_takes_the_user_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(Profile, "save", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        User.objects.create_user("ada")
    assert not User.objects.exists()


def test_a_proxy_of_the_user_model_has_a_profile() -> None:
    user = ProxyUser.objects.create(username="ada")
    assert Profile.objects.get().user_id == user.pk


def test_a_model_that_inherits_from_the_user_model_is_listened_to() -> None:
    class ChildUser(User):
        class Meta:
            app_label = "accounts"

    try:
        assert models.signals.post_save.has_listeners(ChildUser)
    finally:
        del User._meta.apps.all_models["accounts"]["childuser"]
        User._meta.apps.clear_cache()


def test_a_user_of_another_database_has_the_profile_there(other_database: str) -> None:
    user = User.objects.using(other_database).create(username="ada")
    assert Profile.objects.using(other_database).get().user_id == user.pk
    assert not Profile.objects.exists()

    profile = Profile.objects.for_user(user)
    assert profile._state.db == other_database


def test_the_backfill_works_in_another_database(other_database: str) -> None:
    User._base_manager.using(other_database).bulk_create([User(username="ada")])
    call_command("backfill_profiles", "--database", other_database, verbosity=0)
    assert Profile.objects.using(other_database).count() == 1
    assert not Profile.objects.exists()


def test_a_fixture_without_profiles_leaves_them_to_the_accessor(tmp_path: Path) -> None:
    fixture = tmp_path / "users.json"
    row = {"model": "accounts.user", "pk": 7, "fields": {"username": "ada", "password": "!"}}
    fixture.write_text(json.dumps([row]), encoding="utf-8")
    call_command("loaddata", str(fixture), verbosity=0)

    assert not Profile.objects.exists()
    assert Profile.objects.for_user(User.objects.get(pk=7)).user_id == 7


def test_the_accessor_creates_a_missing_profile_once() -> None:
    user = without_profile("ada")
    assert Profile.objects.for_user(user) == Profile.objects.for_user(user)
    assert Profile.objects.count() == 1


def test_the_accessor_reads_an_existing_profile_with_one_query(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        Profile.objects.for_user(user)


def test_the_backfill_creates_what_is_missing_and_nothing_else(
    user: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("apps.profiles.models.BATCH_SIZE", 2)
    for name in ("grace", "edsger", "barbara"):
        without_profile(name)

    call_command("backfill_profiles")
    assert "Created 3 profiles." in capsys.readouterr().out
    assert Profile.objects.count() == 4

    call_command("backfill_profiles")
    assert "Created 0 profiles." in capsys.readouterr().out


def test_the_receiver_can_be_muted() -> None:
    with mute(create_profile):
        User.objects.create_user("ada")
    assert not Profile.objects.exists()


def test_deleting_a_user_deletes_the_profile(user: User) -> None:
    user.delete()
    assert not Profile.objects.exists()


def test_the_page_asks_for_a_login(client: Client) -> None:
    assert client.get("/profile/").headers["Location"] == "/accounts/login/?next=/profile/"


def test_people_change_their_own_profile(user: User, client: Client) -> None:
    other = User.objects.create_user("grace")
    client.force_login(user)
    answer = client.post("/profile/", {"display_name": "Ada Lovelace"}, follow=True)
    assert "Your profile is saved." in answer.text
    assert "<h1>Ada Lovelace</h1>" in answer.text
    assert Profile.objects.for_user(other).display_name == ""


def test_the_page_serves_a_user_from_before_the_module(client: Client) -> None:
    client.force_login(without_profile("ada"))
    assert client.get("/profile/").status_code == 200


def test_the_admin_adds_a_user_and_then_shows_the_profile(admin_client: Client) -> None:
    answer = admin_client.post(
        "/admin/accounts/user/add/",
        {
            "username": "grace",
            "email": "grace@example.com",
            "usable_password": "true",
            "password1": "a long pass phrase",
            "password2": "a long pass phrase",
        },
        follow=True,
    )
    assert answer.status_code == 200
    assert "profile-0-display_name" in answer.text
    assert Profile.objects.filter(user__username="grace").count() == 1


def test_staff_without_permission_do_not_see_the_profile(client: Client) -> None:
    staff = User.objects.create_user("grace", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_user"))
    client.force_login(staff)
    answer = client.get(f"/admin/accounts/user/{staff.pk}/change/")
    assert answer.status_code == 200
    assert "profile-0-display_name" not in answer.text


def test_a_profile_that_comes_while_the_backfill_runs_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_profile("ada")
    grace = without_profile("grace")
    users_without_profile = ProfileManager._users_without_profile

    def look_too_early(self: ProfileManager) -> list[Any]:
        missing = users_without_profile(self)
        Profile.objects.get_or_create(user=grace, defaults={"display_name": "Grace"})
        return missing

    monkeypatch.setattr(ProfileManager, "_users_without_profile", look_too_early)
    Profile.objects.backfill()

    names = Profile.objects.values_list("user__username", "display_name")
    assert dict(names) == {"ada": "", "grace": "Grace"}


def test_the_page_of_a_profile_says_when_it_is_empty(user: User, client: Client) -> None:
    client.force_login(user)
    page = user.profile.get_absolute_url()
    assert "No biography yet." in client.get(page).text
    Profile.objects.update(biography="Wrote the first program.")
    answer = client.get(page)
    assert "Wrote the first program." in answer.text
    assert "No biography yet." not in answer.text
