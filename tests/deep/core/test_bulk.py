"""Bulk writes: one true signal each, in their transaction, at a constant cost."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.exceptions import ObjectNotUpdated
from django.db import NotSupportedError, connections, transaction
from django.db.models import CASCADE, F, Model, OneToOneField
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext, isolate_apps

from apps.accounts.models import User
from apps.core.bulk import BulkSignalsQuerySet
from apps.core.dispatch import mute, receiver
from apps.core.signals import bulk_created, bulk_deleted, bulk_updated

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connections_as_before")]

ALL = [bulk_created, bulk_updated, bulk_deleted]
type Told = list[dict[str, Any]]


class Person(User):
    """A proxy."""

    class Meta:
        proxy = True
        app_label = "accounts"


def users(*names: str) -> list[User]:
    return [User(username=name) for name in names]


def rows(*names: str, using: str = "default") -> list[User]:
    """Make rows without a signal."""
    return User._base_manager.using(using).bulk_create(users(*names))


@pytest.fixture
def told() -> Told:
    """Collect the signals of bulk writes from now on."""
    told: Told = []

    @receiver(ALL, sender=User, include_subclasses=True)
    def listen(sender: Any, signal: Any, **named: Any) -> None:
        """Note what was sent."""
        told.append(named | {"sender": sender, "signal": signal})

    return told


@pytest.mark.parametrize("is_async", [False, True])
def test_bulk_create_sends_the_instances_and_their_keys(told: Told, is_async: bool) -> None:
    made: Any = (one for one in users("ada", "grace"))
    if is_async:
        created = async_to_sync(User.objects.all().abulk_create)(made)
    else:
        created = User.objects.bulk_create(made)
    pks = tuple(User.objects.order_by("username").values_list("pk", flat=True))
    expected = {"instances": tuple(created), "pks": pks, "using": "default"}
    assert told == [expected | {"sender": User, "signal": bulk_created}]


@pytest.mark.parametrize("is_async", [False, True])
def test_bulk_update_sends_one_signal_for_all_batches(told: Told, is_async: bool) -> None:
    found = rows("ada", "grace", "edsger")
    for one in found:
        one.first_name = "X"
    if is_async:
        count = async_to_sync(User.objects.all().abulk_update)(found, ["first_name"], batch_size=1)
    else:
        count = User.objects.bulk_update(iter(found), ["first_name"], batch_size=2)
    assert count == User.objects.filter(first_name="X").count() == 3
    expected = {"pks": tuple(one.pk for one in found), "fields": {"first_name"}, "using": "default"}
    assert told == [expected | {"sender": User, "signal": bulk_updated}]


@pytest.mark.parametrize("is_async", [False, True])
def test_update_sends_the_rows_that_matched_before_it(told: Told, is_async: bool) -> None:
    ada, grace, edsger = rows("ada", "grace", "edsger")
    group = Group.objects.create(name="staff")
    another = Group.objects.create(name="editors")
    for one in (ada, grace):
        one.groups.add(group, another)  # a join finds each of them twice
    chosen = User.objects.filter(groups__in=[group, another], is_active=True)
    change: dict[str, Any] = {"is_active": False, "username": Concat(F("username"), F("email"))}
    count = async_to_sync(chosen.aupdate)(**change) if is_async else chosen.update(**change)
    expected = {"pks": (ada.pk, grace.pk), "fields": {"is_active", "username"}, "using": "default"}
    assert told == [expected | {"sender": User, "signal": bulk_updated}]
    assert (count, User.objects.get(is_active=True)) == (2, edsger)


@pytest.mark.parametrize("is_async", [False, True])
def test_delete_sends_the_keys(told: Told, is_async: bool) -> None:
    ada, grace, _ = rows("ada", "grace", "edsger")
    chosen = User.objects.exclude(username="edsger").order_by("-username")
    total, _ = async_to_sync(chosen.adelete)() if is_async else chosen.delete()
    expected = {"pks": (ada.pk, grace.pk), "using": "default"}
    assert told == [expected | {"sender": User, "signal": bulk_deleted}]
    assert (total, User.objects.get().username) == (2, "edsger")


def test_a_write_of_no_row_sends_nothing(told: Told) -> None:
    User.objects.bulk_create([])
    User.objects.bulk_update([], ["email"])
    User.objects.update(email="")
    User.objects.all().delete()
    assert told == []


def test_an_update_of_no_column_sends_nothing(told: Told) -> None:
    rows("ada")
    assert (User.objects.update(), told) == (0, [])


def test_a_row_in_two_batches_is_sent_once(told: Told) -> None:
    (ada,) = rows("ada")
    User.objects.bulk_update([ada, ada], ["email"], batch_size=1)
    assert [each["pks"] for each in told] == [(ada.pk,)]


@pytest.mark.parametrize(
    "write",
    [
        lambda users: users[:1].update(email=""),
        lambda users: users[:1].delete(),
        lambda users: users.union(users).update(email=""),
        lambda users: users.values("pk").delete(),
    ],
)
def test_errors_of_django_keep_their_message(
    request: pytest.FixtureRequest, write: Callable[[Any], Any]
) -> None:
    def said() -> str:
        with pytest.raises((TypeError, NotSupportedError)) as refused:
            write(User.objects.order_by("username"))
        return str(refused.value)

    rows("ada", "grace")
    alone = said()
    request.getfixturevalue("told")
    assert said() == alone


@isolate_apps("apps.core")
def test_a_primary_key_may_be_a_relation() -> None:
    class Badge(Model):
        holder = OneToOneField(User, CASCADE, primary_key=True, related_name="+")
        objects = BulkSignalsQuerySet.as_manager()

        class Meta:
            app_label = "core"

        def __str__(self) -> str:
            return "a badge"

    @receiver(bulk_updated, sender=Badge)
    def listen(sender: Any, **kwargs: Any) -> None: ...

    for name in ("pk", "holder", "holder_id"):
        with pytest.raises(NotSupportedError, match="primary key"):
            Badge.objects.update(**{name: 1})


def test_writes_of_single_rows_send_no_bulk_signal(told: Told) -> None:
    ada = User.objects.create_user("ada")
    ada.save()
    User.objects.update_or_create(username="ada", defaults={"email": "ada@example.com"})
    ada.delete()
    assert told == []


def test_signals_name_the_proxy_and_the_database(told: Told, other_database: str) -> None:
    Person.objects.using(other_database).bulk_create([Person(username="ada")])
    Person.objects.using(other_database).update(email="")
    Person.objects.db_manager(other_database).all().delete()
    assert [(each["sender"], each["using"]) for each in told] == [(Person, other_database)] * 3


def test_a_manager_gets_no_method_delete() -> None:
    assert not hasattr(User.objects, "delete")
    methods = [BulkSignalsQuerySet.update, BulkSignalsQuerySet.delete]
    methods += [BulkSignalsQuerySet.bulk_create, BulkSignalsQuerySet.bulk_update]
    assert all(method.alters_data for method in methods)  # type: ignore[attr-defined]


WRITES: list[tuple[Callable[[list[User]], Any], int]] = [
    (lambda _: User.objects.bulk_create(users(*map(str, range(900)))), 0),
    (lambda found: User.objects.bulk_update(found, ["email"]), 0),
    (lambda _: User.objects.update(last_name="x"), 1),
    (lambda _: User.objects.all().delete(), 1),
]


@pytest.mark.parametrize(("write", "more"), WRITES)
def test_any_number_of_rows_costs_one_statement_more(
    request: pytest.FixtureRequest, write: Callable[[list[User]], Any], more: int
) -> None:
    """Without a receiver they cost none; the receivers of the project are muted."""

    def cost() -> int:
        found = rows(*(f"user {number}" for number in range(300)))
        with CaptureQueriesContext(connections["default"]) as queries:
            write(found)
        User._base_manager.all().delete()
        return len(queries)

    with mute(User):
        write_alone = cost()
        request.getfixturevalue("told")
        assert cost() == write_alone + more


@pytest.mark.parametrize(
    "write",
    [
        lambda: User.objects.bulk_create(users("ada"), ignore_conflicts=True),
        lambda: User.objects.bulk_create(users("ada"), None, True),
        lambda: User.objects.bulk_create(
            users("ada"), update_conflicts=True, unique_fields=["username"], update_fields=["email"]
        ),
        lambda: User.objects.update(**{"pk": 1}),
        lambda: User.objects.update(id=1),
    ],
)
def test_a_write_of_unknown_rows_is_refused(told: Told, write: Callable[[], Any]) -> None:
    with pytest.raises(NotSupportedError, match=r"past all receivers: User\._base_manager"):
        write()
    assert (told, User.objects.exists()) == ([], False)


def test_a_database_that_returns_no_keys_is_refused(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections["default"].features, "can_return_rows_from_bulk_insert", False)
    with pytest.raises(NotSupportedError, match="returns no keys"), transaction.atomic():
        User.objects.bulk_create(users("ada"))
    assert (told, User.objects.exists()) == ([], False)
    User.objects.bulk_create([User(pk=7, username="ada")])
    assert [each["pks"] for each in told] == [(7,)]


def update_two_rows_after_one_is_deleted() -> None:
    ada, grace = User._base_manager.order_by("pk")
    User._base_manager.filter(pk=ada.pk).delete()
    User.objects.bulk_update([ada, grace], ["last_name"])


@pytest.mark.parametrize(
    "write",
    [
        update_two_rows_after_one_is_deleted,
        lambda: User.objects.update(last_name="x"),
        lambda: User.objects.all().delete(),
    ],
)
def test_rows_that_others_change_roll_the_write_back(
    told: Told, monkeypatch: pytest.MonkeyPatch, write: Callable[[], Any]
) -> None:
    """The test plays the commit of another process between the two statements."""
    before = rows("ada", "grace")
    locked_keys = BulkSignalsQuerySet._locked_keys

    def look_too_early(self: BulkSignalsQuerySet[User], using: str) -> tuple[Any, ...]:
        found = locked_keys(self, using)
        rows("edsger")
        return found

    monkeypatch.setattr(BulkSignalsQuerySet, "_locked_keys", look_too_early)
    with pytest.raises(ObjectNotUpdated, match="try again"), transaction.atomic():
        write()
    assert told == []
    assert list(User.objects.order_by("pk").values_list("pk", "last_name")) == [
        (one.pk, "") for one in before
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "write",
    [
        lambda _: User.objects.bulk_create(users("edsger")),
        lambda found: User.objects.bulk_update(found, ["last_name"]),
        lambda _: User.objects.update(last_name="x"),
        lambda _: User.objects.all().delete(),
    ],
)
def test_a_receiver_that_fails_rolls_the_write_back(write: Callable[[list[User]], Any]) -> None:
    with mute(User):
        found = rows("ada", "grace")

    @receiver(ALL, sender=User, mutable=False)
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("no luck")

    for one in found:
        one.last_name = "x"
    with mute(User), pytest.raises(RuntimeError):
        write(found)
    assert list(User.objects.order_by("pk").values_list("pk", "last_name")) == [
        (one.pk, "") for one in found
    ]


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_a_receiver_gets_keys_and_no_instances() -> None:
    told: Told = []

    @receiver(ALL, sender="accounts.User", after_commit=True)
    def listen(sender: Any, pks: tuple[Any, ...], **named: Any) -> None:
        """Note what was sent."""
        told.append(named | {"pks": pks})

    with transaction.atomic():
        (ada,) = User.objects.bulk_create(users("ada"))
        key = ada.pk
        User.objects.all().delete()
        assert told == []
    with transaction.atomic():
        User.objects.bulk_create(users("grace"))
        transaction.set_rollback(True)
    assert [(each["pks"], "instances" in each) for each in told] == [((key,), False)] * 2


def test_muting_reaches_bulk_writes(told: Told) -> None:
    with mute(User):
        User.objects.bulk_create(users("ada"))
    with mute("accounts.User"):
        User.objects.update(email="")
    assert told == []


def test_a_queryset_of_any_manager_can_opt_in() -> None:
    told: Told = []

    @receiver(bulk_created, sender=Group, include_subclasses=True)
    def listen(sender: Any, **named: Any) -> None:
        """Note what was sent."""
        told.append(named)

    manager: Any = type(Group.objects).from_queryset(BulkSignalsQuerySet)()
    manager.model = Group
    manager.bulk_create([Group(name="staff")])
    assert [each["instances"][0].name for each in told] == ["staff"]
