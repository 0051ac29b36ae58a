"""Logins in awkward cases, and who acts as another user."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import (
    aauthenticate,
    alogin,
    alogout,
    authenticate,
    get_user_model,
    login,
    logout,
    user_login_failed,
)
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.connection import ConnectionDoesNotExist

from apps.accounts.models import User
from apps.audit import receivers, registry, triggers
from apps.audit.capture import FEW
from apps.audit.context import Wrapper
from apps.audit.models import Entry
from apps.audit.restore import CannotRestoreError, restore, state_after
from apps.core.actor import acting_as, acting_in
from apps.core.dispatch import mute

from ..conftest import register
from ..examples.models import Article, Author
from ..test_logins import recorded


def act(request: HttpRequest) -> HttpResponse:
    with acting_as(get_user_model().objects.get(username="grace")):
        Author.objects.create(name="Ada")
    return HttpResponse()


async def come_and_go(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(request, username="admin", password=request.GET["password"])
    if user is not None:
        await alogin(request, user)
        await alogout(request)
    return HttpResponse()


urlpatterns = [path("act/", act), path("come-and-go/", come_and_go)]
pytestmark = pytest.mark.django_db


def request_of(user: Any, **meta: str) -> HttpRequest:
    request = HttpRequest()
    request.META |= {"REMOTE_ADDR": "192.0.2.1"} | meta
    request.user = user
    request.session = SessionStore()
    return request


class Router:
    """Keeps the users in a database that there is not."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "users" if model is User else None


def fail(**credentials: Any) -> None:
    user_login_failed.send(__name__, credentials=credentials)


def names() -> list[str]:
    return [name for _, name, _, _ in recorded()]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x" * 10_000, "x" * 200),
        ("a\x00b\x1b[31m\ud800\u202e", "a\\u0000b\\u001b[31m\\ud800\\u202e"),
        ("\x00" * 300, "\\u0000" * 33 + "\\u"),
        (None, ""),
        (["a", 1], "['a', 1]"),
    ],
)
def test_the_name_that_was_tried_is_bounded_and_harmless(name: Any, text: str) -> None:
    fail(username=name, password="secret")
    assert names() == [text]
    assert "secret" not in str(list(Entry.objects.values()))


def test_the_name_is_found_under_the_field_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "USERNAME_FIELD", "email")
    fail(email="ada@example.com")
    fail(username="bob@example.com")
    fail(token="********************")
    assert names() == ["ada@example.com", "bob@example.com", ""]


@pytest.mark.parametrize("option", ["mask", "exclude"])
def test_a_name_that_is_not_recorded_is_not_recorded_here(
    option: str, restored: None, admin_user: Any
) -> None:
    register(User, **{option: ["username"]})
    fail(username="ada")
    fail(username="bob")
    request = request_of(AnonymousUser())
    login(request, admin_user, backend="django.contrib.auth.backends.ModelBackend")
    found = [(name, told.get("failures")) for _, name, _, told in recorded()]
    assert found == [("", 1), ("", 2), ("", None)]
    if option == "mask":
        assert Entry.objects.latest("pk").actor_name == ""


def test_of_a_model_that_is_not_audited_nothing_is_recorded(
    restored: None, client: Any, admin_user: Any
) -> None:
    registry._registered.clear()
    registry.forget_what_was_derived()
    before = Entry.objects.count()
    client.force_login(admin_user)
    client.logout()
    fail(username="ada")
    assert Entry.objects.count() == before


def test_the_entry_is_where_users_are_written(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [Router()]
    with pytest.raises(ConnectionDoesNotExist, match="users"):
        fail(username="ada")


def test_mute_does_not_silence_it(client: Any, admin_user: Any) -> None:
    with mute(User):
        client.force_login(admin_user)
    assert len(recorded()) == 1
    with pytest.raises(TypeError):
        mute(receivers.record_login).__enter__()


def test_one_statement_more(client: Any, admin_user: Any, restored: None) -> None:
    def statements() -> list[int]:
        counts = []
        for act in (lambda: client.force_login(admin_user), client.logout):
            with CaptureQueriesContext(connection) as captured:
                act()
            counts.append(len(captured))
        with CaptureQueriesContext(connection) as captured:
            authenticate(username="ada", password="wrong")
        return [*counts, len(captured)]

    with_trail = statements()
    registry._registered.clear()
    registry.forget_what_was_derived()
    without = statements()
    assert [one - other for one, other in zip(with_trail, without, strict=True)] == [1, 1, 1]


@pytest.mark.parametrize(("behind_proxy", "address"), [(True, "203.0.113.9"), (False, "192.0.2.1")])
def test_the_address_is_the_proxys_word_only_behind_one(
    behind_proxy: bool, address: str, settings: Any
) -> None:
    settings.BEHIND_PROXY = behind_proxy
    request = request_of(AnonymousUser(), HTTP_X_FORWARDED_FOR="10.0.0.1, 203.0.113.9")
    authenticate(request, username="ada", password="wrong")
    assert recorded()[0][3]["address"] == address
    settings.BEHIND_PROXY = True
    request = request_of(AnonymousUser(), HTTP_X_FORWARDED_FOR="\x00" * 1000)
    authenticate(request, username="bob", password="wrong")
    assert len(recorded()[1][3]["address"]) == receivers.MOST_OF_AN_ADDRESS


def test_failures_of_the_next_minute_count_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        fail(username="Ada")
        fail(username="ada")
    # The entries at the first, second and fourth failure; letters of either case are one name.
    assert [told["failures"] for *_, told in recorded()] == [1, 2, 4]
    cache.clear()
    fail(username="ada")
    assert [told["failures"] for *_, told in recorded()] == [1, 2, 4, 1]


def test_a_flood_of_failures_gets_few_entries() -> None:
    for _ in range(40):
        authenticate(username="ada", password="wrong")
    assert [told["failures"] for *_, told in recorded()] == [1, 2, 4, 8, 16, 32]
    for number in range(200):
        authenticate(username=f"name {number}", password="wrong")
    assert len(recorded()) == 100 + 7
    assert recorded()[-1] == ("failed", "", "", {"entries left out": 64})


def test_what_a_login_says_is_of_no_field(admin_client: Any) -> None:
    article = Article.objects.create(title="One", address="2001:db8::1")
    changes = {"address": {"old": None, "new": "192.0.2.1"}}
    label = Article._meta.label
    entry = Entry.objects.create(
        action="login", model_label=label, object_id=article.pk, changes=changes
    )
    Article.objects.update(title="Two")
    state = state_after(entry)
    assert (state.values["title"], state.values["address"]) == ("One", "2001:db8::1")
    article.delete()
    assert restore(state)[0].address == "2001:db8::1"  # type: ignore[attr-defined]
    # A renamed field of that name does not rename the address.
    Entry.objects.create(
        action="rename", model_label=label, changes={"home": {"renamed": "address"}}
    )
    page = admin_client.get(f"/admin/audit/entry/{entry.pk}/change/").content.decode()
    assert '<th scope="row">address</th>' in page
    assert "192.0.2.1" in page


def test_the_admin_shows_the_name_that_was_tried(admin_client: Any) -> None:
    fail(username="<b>ada\x1b")
    page = admin_client.get("/admin/audit/entry/?action__exact=failed").content.decode()
    assert "User &lt;b&gt;ada\\u001b" in page
    failed = Entry.objects.get(action="failed")
    page = admin_client.get(f"/admin/audit/entry/{failed.pk}/change/").content.decode()
    assert "Failed to log in: &lt;b&gt;ada\\u001b" in page
    with pytest.raises(CannotRestoreError, match="is about no object"):
        state_after(failed)


def test_a_logout_without_a_user() -> None:
    request = request_of(AnonymousUser())
    logout(request)
    assert not recorded()


@pytest.fixture
def two() -> tuple[Any, Any]:
    make = get_user_model().objects.create_user
    return make("ada"), make("grace")


def actors(model: Any = Author) -> list[tuple[Any, str]]:
    found = Entry.objects.filter(model_label=model._meta.label).order_by("pk")
    return list(found.values_list("actor_id", "actor_name"))


def test_only_another_user_is_named_besides(two: tuple[Any, Any]) -> None:
    ada, grace = two
    with acting_as(grace):
        Author.objects.create(name="no request")
    with acting_in(request_of(ada)):
        Author.objects.create(name="itself")
        with acting_as(ada):
            Author.objects.create(name="as itself")
        with acting_as(None):
            Author.objects.create(name="as nobody")
        with acting_as(grace):
            Author.objects.create(name="as another")
            Author.objects.update(name="more")
    with acting_in(request_of(AnonymousUser())), acting_as(grace):
        Author.objects.create(name="a visitor")
    both = (grace.pk, "grace (by ada)")
    found = actors()
    assert found[:4] == [(grace.pk, "grace"), (ada.pk, "ada"), (ada.pk, "ada"), (None, "")]
    assert found[4:] == [both] * 6 + [(grace.pk, "grace")]


def test_the_comment_has_one_part_more_only_then(two: tuple[Any, Any]) -> None:
    ada, grace = two
    wrapper = Wrapper(connection)
    with acting_in(request_of(ada), request_id="r-1"):
        assert wrapper.comment(FEW) == f"/*audit {ada.pk}|request|r-1*/"
        with acting_as(grace):
            assert wrapper.comment(FEW) == f"/*audit {grace.pk}|request|r-1|{ada.pk}*/"
    with acting_as(grace):
        assert wrapper.comment(FEW) == f"/*audit {grace.pk}|command|*/"


def test_a_login_and_a_logout_name_both(two: tuple[Any, Any]) -> None:
    ada, grace = two
    with acting_in(request_of(ada)), acting_as(grace):
        request = request_of(AnonymousUser())
        login(request, grace, backend="django.contrib.auth.backends.ModelBackend")
        logout(request)
    assert [row[:3] for row in recorded()] == [
        ("login", "grace", "grace (by ada)"),
        ("logout", "grace", "grace (by ada)"),
    ]


def test_long_names_share_the_column(two: tuple[Any, Any]) -> None:
    for user, letter in zip(two, "ag", strict=True):
        user.username = letter * 150
        user.save()
    with acting_in(request_of(two[0])), acting_as(two[1]):
        Author.objects.create(name="One")
    assert actors() == [(two[1].pk, f"{'g' * 124} (by {'a' * 124})")]
    assert len(actors()[0][1]) == 254


def test_masked_names_do_not_reach_the_trail(restored: None, two: tuple[Any, Any]) -> None:
    ada, grace = two
    register(User, mask=["username"])
    with acting_in(request_of(ada)), acting_as(grace):
        Author.objects.create(name="One")
    assert actors() == [(grace.pk, "")]


def test_users_who_are_gone_keep_their_names(two: tuple[Any, Any]) -> None:
    ada, grace = two
    keys = ada.pk, grace.pk
    with acting_in(request_of(ada)):
        Author.objects.create(name="One")
        with acting_as(grace):
            Author.objects.create(name="Two")
    for user, pk in zip(two, keys, strict=True):
        user.delete()
        user.pk = pk
    with acting_as(grace):
        Author.objects.create(name="Three")
        with acting_in(request_of(ada)), acting_as(grace):
            Author.objects.create(name="Four")
    assert [name for _, name in actors()] == ["ada", "grace (by ada)", "grace", "grace (by ada)"]
    assert not triggers.faults(connection)


@pytest.mark.urls(__name__)
def test_a_view_can_act_as_another(client: Any, admin_user: Any, django_user_model: Any) -> None:
    grace = django_user_model.objects.create_user("grace")
    client.force_login(admin_user)
    client.get("/act/")
    entry = Entry.objects.filter(model_label="audit_examples.Author").latest("pk")
    assert (entry.actor_id, entry.actor_name) == (grace.pk, "grace (by admin)")


@pytest.mark.urls(__name__)
def test_an_asynchronous_login(async_client: Any, admin_user: Any) -> None:
    for password in ("password", "wrong"):
        async_to_sync(async_client.get)("/come-and-go/", {"password": password})
    assert [row[:3] for row in recorded()] == [
        ("login", "admin", "admin"),
        ("logout", "admin", "admin"),
        ("failed", "admin", ""),
    ]


def test_a_second_logout_is_not_recorded(client: Any, admin_user: Any) -> None:
    client.force_login(admin_user)
    client.post("/accounts/logout/")
    client.post("/accounts/logout/")
    entries = Entry.objects.of(admin_user)[:2]
    assert [one.action for one in entries] == ["logout", "login"]
    assert entries[0].source == "request"
