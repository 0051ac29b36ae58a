"""Who logged in, who logged out, and under which names it failed."""

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.http import HttpRequest

from apps.audit.models import Entry
from apps.core.actor import acting_as, acting_in

from .examples.models import Author

pytestmark = pytest.mark.django_db


def recorded() -> list[tuple[str, str, str, dict[str, Any]]]:
    entries = Entry.objects.filter(action__in=("login", "logout", "failed")).order_by("pk")
    told = ({name: one["new"] for name, one in entry.changes.items()} for entry in entries)
    rows = entries.values_list("action", "object_repr", "actor_name")
    return [(*row, changes) for row, changes in zip(rows, told, strict=True)]


def test_logins_and_logouts_have_an_entry(client: Any, admin_user: Any) -> None:
    client.force_login(admin_user)
    client.post("/accounts/logout/")
    logout, login = Entry.objects.of(admin_user)[:2]
    assert (login.action, login.actor_id) == ("login", admin_user.pk)
    assert (logout.action, logout.actor_id) == ("logout", admin_user.pk)
    assert recorded()[1] == ("logout", "admin", "admin", {"address": "127.0.0.1"})


def test_a_failure_has_the_name_and_never_the_password(client: Any) -> None:
    client.post("/accounts/login/", {"username": "ada", "password": "a-secret"})
    (found,) = recorded()
    assert found == ("failed", "ada", "", {"address": "127.0.0.1", "failures": 1})
    assert "a-secret" not in str(Entry.objects.values())


def test_a_flood_of_failures_gets_few_entries() -> None:
    for _ in range(40):
        authenticate(username="ada", password="wrong")
    assert [told["failures"] for *_, told in recorded()] == [1, 2, 4, 8, 16, 32]
    for number in range(200):
        authenticate(username=f"name {number}", password="wrong")
    assert len(recorded()) == 100 + 7
    assert recorded()[-1] == ("failed", "", "", {"entries left out": 64})


def test_an_entry_names_who_acts_as_another(admin_user: Any, django_user_model: Any) -> None:
    request = HttpRequest()
    request.user = admin_user
    grace = django_user_model.objects.create_user("grace")
    with acting_in(request), acting_as(grace):
        Author.objects.create(name="Ada")
    entry = Entry.objects.latest("pk")
    assert (entry.actor_id, entry.actor_name) == (grace.pk, "grace (by admin)")
