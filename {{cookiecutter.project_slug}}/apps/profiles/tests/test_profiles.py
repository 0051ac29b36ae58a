"""Every way to create a user results in exactly one profile."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from apps.accounts.models import User
from apps.profiles.models import Profile

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com")


def without_profile(name: str) -> User:
    """Return a user for whom no signal was sent."""
    return User._base_manager.bulk_create([User(username=name)])[0]


def test_a_new_user_has_one_profile(ada: User) -> None:
    ada.save()
    assert Profile.objects.get().user == ada
    ada.delete()
    assert not Profile.objects.exists()


def test_users_who_are_created_in_bulk_have_profiles() -> None:
    made = User.objects.bulk_create([User(username="grace"), User(username="edsger")])
    assert {one.user for one in Profile.objects.all()} == set(made)


def test_user_and_profile_are_saved_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        User.objects.create_user("ada")
        transaction.set_rollback(True)
    assert not Profile.objects.exists()

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Profile, "save", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        User.objects.create_user("ada")
    assert not User.objects.exists()


def test_a_fixture_brings_its_own_profiles(ada: User, tmp_path: Path) -> None:
    Profile.objects.update(biography="Wrote the first program.")
    fixture = tmp_path / "users.json"
    call_command("dumpdata", "accounts.User", "profiles.Profile", output=str(fixture))
    User.objects.all().delete()
    call_command("loaddata", str(fixture), verbosity=0)
    assert Profile.objects.get().biography == "Wrote the first program."


def test_a_missing_profile_is_created_when_it_is_asked_for(tmp_path: Path) -> None:
    fixture = tmp_path / "users.json"
    row = {"model": "accounts.user", "pk": 7, "fields": {"username": "ada", "password": "!"}}
    fixture.write_text(json.dumps([row]), encoding="utf-8")
    call_command("loaddata", str(fixture), verbosity=0)
    for user in (User.objects.get(pk=7), without_profile("grace")):
        assert not Profile.objects.filter(user=user).exists()
        assert Profile.objects.for_user(user) == Profile.objects.for_user(user)


def test_the_backfill_creates_what_is_missing(
    ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    without_profile("grace")
    for _ in range(2):
        call_command("backfill_profiles")
    assert capsys.readouterr().out == "Created 1 profile.\nCreated 0 profiles.\n"
    assert Profile.objects.count() == 2


def test_users_change_their_own_profile(ada: User, client: Client) -> None:
    assert client.get("/profile/").headers["Location"] == "/accounts/login/?next=/profile/"
    grace = without_profile("grace")
    client.force_login(ada)
    answer = client.post("/profile/", {"display_name": "Ada Lovelace"}, follow=True)
    assert "<h1>Ada Lovelace</h1>" in answer.text
    assert Profile.objects.for_user(grace).display_name == ""


def test_others_see_a_profile(ada: User, client: Client) -> None:
    grace = without_profile("grace")
    page = f"/profile/{ada.pk}/"
    assert client.get(page).headers["Location"] == f"/accounts/login/?next={page}"
    client.force_login(grace)
    about = {"biography": "<Wrote> it.", "website": "https://ada.example"}
    assert "<h1>ada</h1>" in client.get(page).text
    Profile.objects.filter(user=ada).update(display_name="Ada Lovelace", **about)
    shown = client.get(page).text
    assert "<h1>Ada Lovelace</h1>" in shown
    assert "&lt;Wrote&gt; it." in shown
    assert 'href="https://ada.example"' in shown
    assert f'href="/profile/{grace.pk}/"' in client.get("/profile/").text
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert [client.get(f"/profile/{pk}/").status_code for pk in (ada.pk, 0)] == [404, 404]


def test_the_admin_shows_the_profile_with_its_user(ada: User, admin_client: Client) -> None:
    page = admin_client.get(f"/admin/accounts/user/{ada.pk}/change/").text
    assert "profile-0-display_name" in page
