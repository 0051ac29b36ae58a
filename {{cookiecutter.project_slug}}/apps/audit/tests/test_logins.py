"""Who logged in, who logged out, and under which names it failed."""

from typing import Any

import pytest

from apps.audit.models import Entry

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
