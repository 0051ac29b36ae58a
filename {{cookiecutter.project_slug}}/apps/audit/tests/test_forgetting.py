"""A person is forgotten on the trail, and the seals still hold."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError

from apps.audit import seals
from apps.audit.models import Entry
from apps.core.actor import acting_as

from .examples.models import Author
from .test_append_only import execute
from .test_seals import found, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def grace(django_user_model: Any) -> Any:
    """Make a user who has written something, has changed, and is deleted."""
    user = django_user_model.objects.create_user("grace", "grace@example.com")
    with acting_as(user):
        Author.objects.create(name="Something")
    user.first_name = "Zora"
    user.save()
    user.is_staff = True
    user.save()
    key = user.pk
    user.delete()
    user.pk = key
    list(seals.seal("default"))
    return user


def forget(key: Any, *options: str) -> str:
    return said("forget", "accounts.User", str(key), "--reason=She asked", *options)


def text_of_the_trail() -> str:
    return "".join(map(str, Entry.objects.values_list("object_repr", "actor_name", "changes")))


def test_names_and_personal_values_are_gone_and_all_else_is_there(grace: Any) -> None:
    before = list(Entry.objects.of(grace).values("id", "created_at", "action", "request_id"))
    assert "Forgot values in" in forget(grace.pk)
    for word in ("grace", "Zora"):
        assert word not in text_of_the_trail()
    statement, deleted, staff, _, created = Entry.objects.of(grace)
    assert [(entry.object_repr, entry.changes.get("is_staff")) for entry in (deleted, staff)] == [
        ("(forgotten)", {"old": True, "new": None}),
        ("(forgotten)", {"old": False, "new": True}),
    ]
    assert created.changes["email"] == {"forgotten": True}
    assert Entry.objects.get(actor=grace.pk).actor_name == "(forgotten)"
    assert statement.changes[""]["reason"] == "She asked"
    with pytest.raises(IntegrityError, match="append-only"):
        execute("UPDATE audit_entry SET actor_name = 'nobody' WHERE id = %s", deleted.pk)
    after = Entry.objects.of(grace).values("id", "created_at", "action", "request_id")
    assert list(after)[1:] == before


def test_the_seals_hold_and_say_who_was_forgotten(grace: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        forget(grace.pk)
    statement = Entry.objects.get(action="forget")
    assert found() == []
    assert f" entries about accounts.User {grace.pk} were forgotten on" in said("verify")
    assert f"by admin: She asked (entry {statement.pk})." in said("verify")
    assert f"accounts.User {grace.pk} is already forgotten." in forget(grace.pk)


def test_it_takes_a_permission_in_the_admin(
    client: Any, grace: Any, django_user_model: Any
) -> None:
    officer = django_user_model.objects.create_user("officer", is_staff=True)
    officer.user_permissions.add(Permission.objects.get(codename="view_entry"))
    client.force_login(officer)
    page = f"/admin/audit/entry/forget/accounts.User/{grace.pk}/"
    assert client.get(page).status_code == client.post(page).status_code == 403
    officer.user_permissions.add(Permission.objects.get(codename="forget_person"))
    shown = client.post(page, {"reason": "She asked"}, follow=True)
    assert "grace" not in shown.text
    assert Entry.objects.get(action="forget").actor_name == "officer"
