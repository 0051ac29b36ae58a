"""A person is forgotten on the trail, and the seals still hold."""

import json
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import IntegrityError, connection, transaction

from apps.audit import seals
from apps.audit.models import Entry
from apps.audit.restore import state_after
from apps.core.actor import acting_as

from .conftest import register
from .examples.models import Author
from .test_seals import found, said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


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
    before = Entry.objects.of(grace).values("id", "created_at", "action", "request_id")
    before = list(before)
    assert "Forgot values in 5 entries of 'default'." in forget(grace.pk)
    for word in ("grace", "Zora"):
        assert word not in text_of_the_trail()
    statement, deleted, staff, first_name, created = Entry.objects.of(grace)
    assert [(entry.object_repr, entry.changes.get("is_staff")) for entry in (deleted, staff)] == [
        ("(forgotten)", {"old": True, "new": None}),
        ("(forgotten)", {"old": False, "new": True}),
    ]
    assert first_name.changes["first_name"] == {"forgotten": True}
    assert created.changes["email"] == {"forgotten": True}
    assert Entry.objects.get(actor=grace.pk).actor_name == "(forgotten)"
    assert statement.changes[""]["reason"] == "She asked"
    assert list(Entry.objects.of(grace).values(*before[0]))[1:] == before
    assert "email" in state_after(created).unknown
    assert "- (forgotten)" in said("history", "accounts.User", str(grace.pk))


def test_the_seals_hold_and_say_who_was_forgotten(grace: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        forget(grace.pk)
    statement = Entry.objects.get(action="forget")
    assert found() == []
    line = f"Values of 5 entries about accounts.User {grace.pk} were forgotten on"
    assert line in said("verify")
    assert f"by admin: She asked (entry {statement.pk})." in said("verify")


@pytest.mark.parametrize(
    "change",
    [
        "actor_name = 'nobody'",
        "object_repr = 'somebody'",
        "changes = '{}'",
        "request_id = '(forgotten)'",
        """changes = '{"is_staff": {"forgotten": true}}'""",
    ],
)
def test_nothing_else_can_be_changed(grace: Any, change: str) -> None:
    forget(grace.pk)
    for entry in Entry.objects.of(grace):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE audit_entry SET {change} WHERE id = %s", [entry.pk])  # noqa: S608


def test_a_person_is_forgotten_once(grace: Any) -> None:
    forget(grace.pk)
    assert "accounts.User 0" in str(pytest.raises(CommandError, forget, 0).value)
    count = Entry.objects.count()
    assert f"accounts.User {grace.pk} is already forgotten." in forget(grace.pk)
    assert Entry.objects.count() == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("accounts.User", "1", "--reason= "), "The reason is empty"),
        (("accounts.Usr", "1", "--reason=x"), "There is no model 'accounts.Usr'"),
        (("audit_examples.Author", "1", "--reason=x"), "has no personal fields"),
    ],
)
def test_what_cannot_be_forgotten_is_said(arguments: Any, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        said("forget", *arguments)


def test_models_say_which_of_their_fields_are_personal() -> None:
    register(Author, personal=["name"])
    author = Author.objects.create(name="Ada")
    told = said("forget", "audit_examples.Author", str(author.pk), "--reason=x")
    assert f"still has audit_examples.Author {author.pk}" in told
    assert Entry.objects.of(author)[1].changes["name"] == {"forgotten": True}


def test_a_person_gets_their_data(grace: Any) -> None:
    lines = said("export", "--subject", "accounts.User", str(grace.pk)).splitlines()
    keys = {*Entry.objects.of(grace).values_list("pk", flat=True)}
    keys |= {*Entry.objects.filter(actor=grace.pk).values_list("pk", flat=True)}
    assert [json.loads(line)["pk"] for line in lines] == sorted(keys)
