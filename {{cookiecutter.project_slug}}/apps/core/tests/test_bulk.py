"""Bulk writes: one signal each, in the transaction of their receivers, as the README says."""

from typing import Any

import pytest
from django.db import NotSupportedError

from apps.accounts.models import User
from apps.core.dispatch import mute, receiver
from apps.core.signals import bulk_created, bulk_deleted, bulk_updated

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connections_as_before")]

type Told = list[dict[str, Any]]


@pytest.fixture
def users() -> list[User]:
    """Create two users without a signal."""
    return User._base_manager.bulk_create([User(username="ada"), User(username="grace")])


@pytest.fixture
def told(users: list[User]) -> Told:
    told: Told = []

    @receiver([bulk_created, bulk_updated, bulk_deleted], sender=User)
    def note(sender: Any, **named: Any) -> None:
        told.append({name: value for name, value in named.items() if name != "signal"})

    return told


def test_each_bulk_write_sends_one_signal(users: list[User], told: Told) -> None:
    pks = tuple(user.pk for user in users)
    (edsger,) = User.objects.bulk_create([User(username="edsger")])
    assert told.pop() == {"instances": (edsger,), "pks": (edsger.pk,), "using": "default"}
    User.objects.bulk_update(users, ["email"], batch_size=1)
    assert told.pop() == {"pks": pks, "fields": {"email"}, "using": "default"}
    User.objects.exclude(pk=edsger.pk).update(is_active=False)
    assert told.pop() == {"pks": pks, "fields": {"is_active"}, "using": "default"}
    User.objects.filter(is_active=False).delete()
    assert told.pop() == {"pks": pks, "using": "default"}
    User.objects.filter(is_active=False).delete()
    with mute(User):
        User.objects.all().delete()
    assert told == []


def test_a_write_of_unknown_rows_is_refused(told: Told) -> None:
    with pytest.raises(NotSupportedError, match="which rows are new"):
        User.objects.bulk_create([User(username="ada")], ignore_conflicts=True)
    with pytest.raises(NotSupportedError, match="primary key"):
        User.objects.update(id=1)
    assert told == []


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_fails_undoes_the_write(users: list[User]) -> None:
    @receiver(bulk_deleted, sender=User)
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError):
        User.objects.all().delete()
    assert User.objects.count() == 2
