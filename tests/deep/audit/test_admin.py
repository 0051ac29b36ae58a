"""The trail in the admin: to read, to search and to filter, and nothing else."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import re
import sys
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.text import capfirst

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.audit.presentation import Change, Page
from apps.core.actor import acting_as

from ..examples.models import Article, Author, Tag
from ..test_admin import page_of, reader
from .models import Note, Review

pytestmark = pytest.mark.django_db


LIST = "/admin/audit/entry/"


def changes_of(entry: Entry) -> list[Change]:
    return Page([entry]).changes(entry)


def leads(response: Any, rel: str) -> str:
    """Return where the link to the next or the previous page leads; an empty text for no link."""
    found = re.search(rf'href="([^"]*)" rel="{rel}"', response.text)
    return unescape(found[1]) if found else ""


def objects(response: Any) -> list[str]:
    return [entry.page.name(entry) for entry in response.context["cl"].result_list]


def history_of(reader: Any, label: str, key: str, **query: Any) -> list[str]:
    url = reverse("admin:audit_entry_history_of", args=[label, quote(key)])
    response = reader.get(url, query)
    assert response.status_code == 200
    return [row["entry"].object_repr for row in response.context["rows"]]


def test_the_history_of_what_is_gone_can_be_read(reader: Any) -> None:
    Tag.objects.create(slug="a/b?c_d").delete()
    tag_name = Entry.objects.named("audit_examples.Tag", "a/b?c_d")[0].object_repr
    assert tag_name.endswith("a/b?c_d")
    assert history_of(reader, "audit_examples.Tag", "a/b?c_d") == [tag_name] * 2
    values: dict[str, Any] = {"object_id": "x", "action": "update"}
    Entry(model_label="gone.Model", object_repr="Gone", **values).save()
    assert history_of(reader, "gone.Model", "x") == ["Gone"]
    # The model has got keys of another type since.
    Entry(model_label="audit_examples.Author", object_repr="Other", **values).save()
    assert history_of(reader, "audit_examples.Author", "x") == ["Other"]


def test_a_long_text_is_shown_from_where_it_differs(reader: Any) -> None:
    text = "It was the best of times, it was the worst of times. "
    article = Article.objects.create(title="One", body=text * 100 + "Then." + text * 100)
    article.body = article.body.replace("Then", "Later")
    article.save()
    response = reader.get(page_of(Entry.objects.of(article).first()))
    (change,) = response.context["rows"][0]["changes"]
    for shown, word in ((change.old, "Then"), (change.new, "Later")):
        assert shown.startswith("…")
        assert 100 < shown.index(word) <= 200
        assert shown.endswith(" characters more")
        assert len(shown) < 2100
        assert shown in response.text


def test_the_list_names_action_object_actor_and_fields(reader: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        author = Author.objects.create(name="Ada")
        author.name = "Ada Lovelace"
        author.save()
    html = reader.get(LIST).content.decode()
    for text in ("Created", "Changed", "Author", "Ada Lovelace", "admin", "Name", "the system"):
        assert text in html


def test_a_history_can_be_paged_through(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.audit.admin.HISTORY_PAGE", 2)
    author = Author.objects.create(name="0")
    for number in range(1, 5):
        author.name = str(number)
        author.save()
    url = reverse("admin:audit_entry_history_of", args=["audit_examples.Author", author.pk])
    pages, following = [], url
    while following:
        response = reader.get(following)
        pages.append([row["entry"].object_repr for row in response.context["rows"]])
        following = leads(response, "next") and url + leads(response, "next")
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    assert [reader.get(url, {"p": p}).status_code for p in ("x", "0", "9", "9" * 30)] == [404] * 4


@pytest.mark.parametrize(
    "url",
    [
        "of/audit_examples.Author/0/",
        "of/audit_examples.Author/x/",
        "of/audit_examples.Author/99999999999999999999/",
        "of/audit_examples.Tag/a%00b/",
        "of/gone.Model/a%00b/",
        "of/gone.Mo%00del/1/",
        "of/x/1/",
        "of/a.B/1/",
    ],
)
def test_what_has_no_history_is_not_found(reader: Any, url: str) -> None:
    assert reader.get(f"{LIST}{url}").status_code == 404


def test_what_is_not_audited_is_not_named(reader: Any) -> None:
    group = Group.objects.create(name="Secret")
    url = f"{LIST}of/auth.Group/{group.pk}/"
    assert reader.get(url).status_code == 404
    # It was audited once, and was called something else then.
    values: dict[str, Any] = {"model_label": "auth.Group", "object_id": str(group.pk)}
    Entry(**values).save()
    for page in (url, page_of(Entry.objects.first())):
        response = reader.get(page)
        assert response.status_code == 200
        assert f"{capfirst(Group._meta.verbose_name)} {group.pk}" in response.text
        assert "Secret" not in response.text


def test_a_history_takes_the_permission_to_see_the_trail(client: Any) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    author = Author.objects.create(name="Ada")
    assert client.get(f"{LIST}of/audit_examples.Author/{author.pk}/").status_code == 403


def test_the_page_of_every_audited_object_leads_to_its_history(
    admin_client: Any, client: Any
) -> None:
    user = User.objects.create_user("ada")
    link = f'href="{LIST}of/accounts.User/{user.pk}/" class="historylink">Audit trail</a>'
    page = f"/admin/accounts/user/{user.pk}/change/"
    html = admin_client.get(page).content.decode()
    assert link in html
    # Django's own link is still there.
    assert f'/admin/accounts/user/{user.pk}/history/"' in html
    assert admin_client.get(f"{LIST}of/accounts.User/{user.pk}/").context["object_url"] == page
    group = Group.objects.create(name="Not audited")
    assert (
        b"Audit trail</a>"
        not in admin_client.get(f"/admin/auth/group/{group.pk}/change/")
        .content.split(b"object-tools")[1]
        .split(b"</ul>")[0]
    )
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="change_user"))
    client.force_login(clerk)
    assert link not in client.get(page).content.decode()


def test_pages_follow_each_other_in_both_directions(
    reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.audit.admin.EntryAdmin.list_per_page", 2)
    for number in range(5):
        Tag.objects.create(slug=str(number))
    filtered = f"{LIST}?model=audit_examples.Tag"
    first = reader.get(filtered)
    assert not leads(first, "prev")
    second = reader.get(f"{LIST}{leads(first, 'next')}")
    last = reader.get(f"{LIST}{leads(second, 'next')}")
    assert [objects(page) for page in (first, second, last)] == [["#4", "#3"], ["#2", "#1"], ["#0"]]
    assert not leads(last, "next")
    back = reader.get(f"{LIST}{leads(last, 'prev')}")
    assert objects(back) == objects(second)
    assert leads(back, "next") == leads(second, "next")
    front = reader.get(f"{LIST}{leads(back, 'prev')}")
    assert objects(front) == objects(first)
    assert not leads(front, "prev")
    assert 'href="?model=audit_examples.Tag">« Newest' in back.text
    # A filter or a search that is chosen there starts from the newest again.
    assert len(re.findall(r"[?&;]p=", second.text)) == 2
    assert 'name="p"' not in second.text


@pytest.mark.parametrize(
    "query", ["p=0", "p=-1", "p=99999999999999999999", "nonsense=1", "actor=x"]
)
def test_a_page_that_cannot_be_is_refused(reader: Any, query: str) -> None:
    assert reader.get(f"{LIST}?{query}").status_code == 302


@pytest.mark.parametrize("query", ["q=99999999999999999999", "model=gone.Model", "p=9"])
def test_what_nothing_can_be_finds_nothing(reader: Any, query: str) -> None:
    Author.objects.create(name="Ada")
    assert objects(reader.get(f"{LIST}?{query}")) == []


@pytest.mark.parametrize("query", ["all=1", "p=1", "_facets=True", "o=0", "o=-1"])
def test_nothing_makes_the_list_count(
    reader: Any, query: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        Tag.objects.create(slug=str(number))
    with django_assert_max_num_queries(8) as captured:
        changelist = reader.get(f"{LIST}?{query}").context["cl"]
    assert len(changelist.result_list) == 50
    assert not [sql for sql in captured if "COUNT(" in sql["sql"]]
    assert changelist.result_list == list(Entry.objects.order_by("-pk")[:50])


def test_an_entry_without_a_name_is_named_after_its_model(reader: Any) -> None:
    values: dict[str, Any] = {"model_label": "audit_examples.Author"}
    Entry(
        object_id="5", action="update", changes={"name": {"old": "a", "new": "b"}}, **values
    ).save()
    assert ">Author 5</a>" in reader.get(LIST).content.decode()
    page = reader.get(page_of(Entry.objects.first()))
    assert page.context["title"] == "Changed: Author 5"
    # One that is still there has a name now.
    author = Author.objects.create(name="Ada")
    Entry(object_id=author.pk, action="update", **values).save()
    page = reader.get(page_of(Entry.objects.first()))
    assert page.context["title"] == "Changed: Ada"


def test_an_entry_leads_to_its_actor_and_its_request(reader: Any, admin_user: Any) -> None:
    with acting_as(admin_user, source="job", request_id="request-1"):
        Author.objects.create(name="Ada")
        Tag.objects.create(slug="django")
    Author.objects.create(name="Bob")
    response = reader.get(page_of(Entry.objects.get(object_repr="Ada")))
    context = response.context
    request_url = f"{LIST}?request_id=request-1"
    assert f'href="{request_url}"' in response.text
    assert objects(reader.get(request_url)) == ["#django", "Ada"]
    assert objects(reader.get(context["rows"][0]["actor_url"])) == ["#django", "Ada"]
    assert objects(reader.get(LIST, {"source": "job"})) == ["#django", "Ada"]
    context = reader.get(page_of(Entry.objects.get(object_repr="Bob"))).context
    assert "Bob" in objects(reader.get(context["rows"][0]["actor_url"]))


def test_the_latest_entries_are_searched_for_names_and_keys(
    reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tag.objects.create(slug="old")
    for number in range(5):
        Tag.objects.create(slug=f"new-{number}")
    assert objects(reader.get(LIST, {"q": "OL"})) == ["#old"]
    author = Author.objects.create(name="Ada")
    found = reader.get(LIST, {"q": author.pk, "model": "audit_examples.Author"})
    assert objects(found) == ["Ada"]
    monkeypatch.setattr("apps.audit.admin.Pages.count", 4)
    monkeypatch.setattr("apps.audit.admin.EntryAdmin.list_per_page", 3)
    assert objects(reader.get(LIST, {"q": "old"})) == []
    assert objects(reader.get(LIST, {"q": "new-"})) == ["#new-4", "#new-3", "#new-2"]
    assert [reader.get(LIST, {"q": q}).context["cl"].bound for q in (" ", "new-")] == [0, 4]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("short", "other", "other"),
        ("", "x" * 2000, "x" * 2000),
        ("", "x" * 3000, "x" * 2000 + "… 1,000 characters more"),
        ("x" * 1000 + "y", "x" * 1000, "x" * 1000),
        ("x" * 3000 + "y", "x" * 3000 + "z", "…" + "x" * 100 + "z"),
        ("x" * 100 + "y" * 3000, "x" * 100 + "z" * 1900, "x" * 100 + "z" * 1900),
        ("x" * 3000, "x" * 3000, "…" + "x" * 100),
    ],
    ids=str.__len__,
)
def test_what_is_shown_of_a_text(old: str, new: str, expected: str) -> None:
    assert Change("Text", old=old, new=new).new == expected


def test_values_that_read_alike_are_shown_as_they_are_stored() -> None:
    user = User.objects.create_user("ada")
    user.date_joined = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    user.save()
    user.date_joined = user.date_joined.replace(microsecond=0)
    user.save()
    (change,) = changes_of(Entry.objects.of(user).first() or Entry())
    assert change.old == "2026-01-02T03:04:05.000678+00:00"
    assert change.new == "2026-01-02T03:04:05+00:00"


def test_the_diff_of_links_shows_names(reader: Any) -> None:
    article = Article.objects.create(title="One")
    tag = Tag.objects.create(slug="kept")
    gone = Tag.objects.create(slug="gone")
    article.tags.add(tag, gone)
    gone.delete()
    unlinked = Entry.objects.of(article)[0]
    (change,) = reader.get(page_of(unlinked)).context["rows"][0]["changes"]
    assert (change.old, change.new) == ("no longer there (gone)", None)
    links = {"tags": {"added": ["gone", "kept"], "removed": []}}
    label = {"model_label": "audit_examples.Article", "object_id": str(article.pk)}
    Entry(action="update", changes=links, **label).save()
    response = reader.get(page_of(Entry.objects.first()))
    (change,) = response.context["rows"][0]["changes"]
    assert change.new == "no longer there (gone)\n#kept (kept)"
    assert f"<ins>{change.new}</ins>" in response.text


def test_thousands_of_links_are_not_all_listed(
    reader: Any, django_assert_max_num_queries: Any
) -> None:
    article = Article.objects.create(title="One")
    links = {"tags": {"added": [f"tag-{n}" for n in range(3000)], "removed": []}}
    label = {"model_label": "audit_examples.Article", "object_id": str(article.pk)}
    Entry(action="update", changes=links, **label).save()
    with django_assert_max_num_queries(9):
        response = reader.get(page_of(Entry.objects.first()))
    (change,) = response.context["rows"][0]["changes"]
    assert change.new.count("\n") == 50
    assert change.new.endswith("\nand 2950 more")


def test_a_creation_leaves_out_what_has_no_value(reader: Any) -> None:
    article = Article.objects.create(title="One")
    response = reader.get(page_of(Entry.objects.of(article).first()))
    labels = [change.label for change in response.context["rows"][0]["changes"]]
    assert labels == ["Headline", "Status", "Reads", "Is open", "Access token"]


def test_entries_of_what_the_project_no_longer_has_can_be_read(reader: Any) -> None:
    values = {"object_id": "1", "object_repr": "Gone", "action": "update"}
    changes = {"lost": {"old": 1, "new": [2]}, "name": {"old": "a", "new": "b"}}
    Entry(model_label="gone.Model", changes=changes, **values).save()
    Entry(model_label="accounts.User", changes=changes, **values | {"object_id": "x"}).save()
    Entry(model_label="audit_examples.Author", changes=changes, **values).save()
    Entry(
        model_label="audit_examples.Article",
        changes={"published_on": {"old": "not a date", "new": None}},
        **values,
    ).save()
    assert reader.get(LIST).status_code == 200
    shown = [
        reader.get(page_of(e)).context["rows"][0]["changes"]
        for e in Entry.objects.filter(object_repr="Gone")
    ]
    labels = [[change.label for change in one] for one in shown]
    assert sorted(labels) == [
        ["Name", "lost"],
        ["Published on"],
        ["lost", "name"],
        ["lost", "name"],
    ]


def test_links_lead_where_the_reader_may_go(reader: Any, admin_client: Any) -> None:
    user = Entry.objects.filter(model_label="accounts.User", object_repr="admin").latest("id")
    assert reader.get(page_of(user)).context["object_url"] is None
    there = admin_client.get(page_of(user)).context["object_url"]
    assert admin_client.get(there).status_code == 200


def test_many_rows_cost_no_more_queries_than_few(
    admin_client: Any, admin_user: Any, django_assert_max_num_queries: Any
) -> None:
    group = Group.objects.create(name="Everything")
    admin_user.groups.add(group)
    admin_user.user_permissions.set(Permission.objects.all())
    with acting_as(admin_user):
        for number in range(40):
            Author.objects.create(name=str(number))
    # One each for the names of authors, groups and users.
    with django_assert_max_num_queries(9):
        admin_client.get(LIST)
    keys = list(Permission.objects.values_list("pk", flat=True))
    assert len(keys) > 20
    links = {"user_permissions": {"added": keys, "removed": []}}
    values: dict[str, Any] = {"model_label": "accounts.User", "object_id": str(admin_user.pk)}
    entry = Entry(action="update", changes=links, **values)
    entry.save()
    with django_assert_max_num_queries(9):
        admin_client.get(page_of(entry))


@pytest.mark.parametrize(
    "query", ["model=%00", "request_id=%00", "model=auth.Group&action=%00", f"actor={10**20}"]
)
def test_what_no_column_can_hold_matches_nothing(reader: Any, query: str) -> None:
    response = reader.get(f"{LIST}?{query}")
    # A database cannot even be asked for some of it.
    assert response.status_code in (302, 400) or objects(response) == []


def test_a_value_that_cannot_be_written_as_text_is_shown(reader: Any) -> None:
    values: dict[str, Any] = {"object_id": "1", "action": "update"}
    change = {"old": {"a": "\ud800"}, "new": "\ud800"}
    entry = Entry(pk=10**6, model_label="gone.Model", changes={"data": change}, **values)
    if connection.vendor == "sqlite":
        # PostgreSQL refuses it.
        entry.save()
        for page in (page_of(entry), f"{LIST}of/gone.Model/1/"):
            assert "\\ud800" in reader.get(page).text
    (shown,) = changes_of(entry)
    assert (shown.old, shown.new) == ('{"a": "\\ud800"}', "\\ud800")
    links = {"tags": {"added": ["\ud800"], "removed": []}}
    (shown,) = changes_of(Entry(pk=1, model_label="gone.Model", changes=links, **values))
    assert shown.new == "\\ud800"


def test_the_diff_shows_values_of_each_kind(reader: Any) -> None:
    author = Author.objects.create(name="Ada")
    article = Article.objects.create(title="<b>Old</b>", body="Text", access_token="hunter2")
    article.title = "New"
    article.body = ""
    article.status = Article.Status.PUBLIC
    article.author = author
    article.is_open = True
    article.access_token = "hunter3"
    article.details = {"a": 1}
    article.picture = b"\x00\x01"
    article.save()
    response = reader.get(page_of(Entry.objects.of(article).first()))
    shown = {
        change.label: (change.old, change.new) for change in response.context["rows"][0]["changes"]
    }
    assert shown == {
        "Headline": ("<b>Old</b>", "New"),
        "Body": ("Text", ""),
        "Status": ("Draft", "Public"),
        "Author": (None, f"Ada ({author.pk})"),
        "Is open": ("False", "True"),
        "Access token": (None, None),
        "Details": (None, '{"a": 1}'),
        "Picture": (None, {"sqlite": "\\x0001", "postgresql": "AAE="}[connection.vendor]),
    }
    html = response.content.decode()
    assert "<del>&lt;b&gt;Old&lt;/b&gt;</del>" in html
    assert "<ins>New</ins>" in html
    assert "The value is secret" in html
    assert "hunter" not in html


def test_each_filter_and_the_search(reader: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        ada = Author.objects.create(name="Ada")
        Tag.objects.create(slug="django")
    Author.objects.create(name="Bob").delete()
    Entry(object_repr="By one who left", actor_name="gone").save()
    author = "audit_examples.Author"
    assert objects(reader.get(LIST, {"model": author})) == ["Bob", "Bob", "Ada"]
    assert objects(reader.get(LIST, {"actor": admin_user.pk})) == ["#django", "Ada"]
    system = {"actor__isnull": True, "actor_name": ""}
    assert objects(reader.get(LIST, system | {"q": "B"})) == ["Bob", "Bob"]
    assert objects(reader.get(LIST, {"q": "admin", "model": author})) == ["Ada"]
    assert objects(reader.get(LIST, {"action": "delete"})) == ["Bob"]
    assert objects(reader.get(LIST, {"q": "djan"})) == ["#django"]
    assert objects(reader.get(LIST, {"q": ada.pk, "model": author})) == ["Ada"]
    assert objects(reader.get(LIST, {"created_at__gte": "2999-01-01 00:00:00+00:00"})) == []


TWO_MB = "It was the best of times, it was the worst of times. " * 38_000


def differing(kind: str) -> tuple[str, str]:
    """Return two texts of 2 MB."""
    middle = len(TWO_MB) // 2
    return {
        "one word": (TWO_MB, TWO_MB[:middle] + "once " + TWO_MB[middle:]),
        "many words": (TWO_MB, TWO_MB.replace("worst", "last")),
        "everything": (TWO_MB, "Call me Ishmael, some years ago. " * 61_000),
        "no spaces": ("x" * 2_000_000, "x" * 1_000_000 + "y" + "x" * 1_000_000),
        "a creation": ("", TWO_MB),
    }[kind]


KINDS = ("one word", "many words", "everything", "no spaces", "a creation")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["body", "details", "lost"])
def test_long_values_are_shown_in_little_space(reader: Any, kind: str, field: str) -> None:
    old, new = differing(kind)
    values: dict[str, Any] = {"model_label": "audit_examples.Article", "object_id": "1"}
    change = {"old": {"text": old}, "new": {"text": new}} if field == "details" else {
        "old": old, "new": new
    }  # fmt: skip
    entry = Entry(action="update", changes={field: change}, **values)
    entry.save()
    (shown,) = changes_of(entry)
    for text, whole in ((shown.old, old), (shown.new, new)):
        assert text is not None
        assert len(text) < 2100
        assert ("characters more" in text) is (len(whole) > 2000)
    for _ in range(19):
        Entry(action="update", changes={field: change}, **values).save()
    page = reader.get(page_of(entry)).text
    history = reader.get(f"{LIST}of/audit_examples.Article/1/").text
    assert len(page) < 20_000
    assert len(history) < 20 * 7_000
    assert "characters more" in page


def test_the_work_of_comparing_grows_no_faster_than_the_texts() -> None:
    """Counts the calls of functions, of which the search for words took one for each."""
    calls: dict[int, int] = {}
    for size in (1_000, 64_000):
        old, new = "a b " * size, "a c " * size
        counted = [0]
        sys.setprofile(lambda *_, counted=counted: counted.__setitem__(0, counted[0] + 1))
        Change("Text", old=old, new=new)
        sys.setprofile(None)
        calls[size] = counted[0]
    assert calls[64_000] < calls[1_000] + 200


def test_the_list_does_not_load_values(reader: Any) -> None:
    author = Author.objects.create(name="Ada")
    author.name = "Secret value"
    author.save()
    Author.objects.all().delete()
    with CaptureQueriesContext(connection) as captured:
        entries = reader.get(LIST, {"model": "audit_examples.Author"}).context["cl"].result_list
    assert [entry.touched for entry in entries] == [None, ["name"], None]
    assert all("changes" in entry.get_deferred_fields() for entry in entries)
    columns = [q for q in captured if '"audit_entry"."changes"' in q["sql"]]
    assert all("'rename'" in q["sql"] for q in columns)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"title": {"renamed": "caption"}}, ("Field", "caption", "title")),
        (
            {"": {"renamed": "audit_examples.Text"}},
            ("Model", "audit_examples.Text", "audit_examples.Article"),
        ),
    ],
)
def test_a_renaming_is_shown(reader: Any, changes: Any, shown: tuple[str, str, str]) -> None:
    entry = Entry(action="rename", model_label="audit_examples.Article", changes=changes)
    entry.save()
    assert "Renamed" in reader.get(LIST).text
    response = reader.get(page_of(entry))
    (change,) = response.context["rows"][0]["changes"]
    assert (change.label, change.old, change.new) == shown
    assert response.context["title"] == "Renamed: Article"
    assert response.context["history_url"] is None
    # Also where it is one of the entries of an object.
    assert changes_of(Entry(pk=1, action="rename", changes=changes, model_label="gone.Model"))


def test_a_user_of_the_database_is_an_actor(reader: Any) -> None:
    values: dict[str, Any] = {"model_label": "audit_examples.Author", "action": "update"}
    Entry(source="database", actor_name="postgres", object_id="1", **values).save()
    response = reader.get(page_of(Entry.objects.first()))
    assert "postgres" in response.text
    assert "Database" in response.text
    assert objects(reader.get(response.context["rows"][0]["actor_url"])) == ["Author 1"]


def test_objects_are_named_as_they_are_called_today(reader: Any) -> None:
    ada, bob = (Author.objects.create(name=name) for name in ("Ada", "Bob"))
    Author.objects.filter(pk=ada.pk).update(name="Ada Lovelace")
    bob.delete()
    assert {*objects(reader.get(LIST, {"model": "audit_examples.Author"}))} == {
        "Ada Lovelace",
        "Bob",
    }
    page = reader.get(page_of(Entry.objects.of(ada).last()))
    assert page.context["title"] == "Created: Ada Lovelace"
    history = reader.get(page.context["history_url"])
    assert history.context["title"] == "Audit trail: Ada Lovelace"


@pytest.mark.parametrize("page", ["list", "history", "entry"])
def test_names_cost_one_query_a_model_and_one_a_relation(
    reader: Any, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Note, "__str__", lambda self: f"{self.article.author.name}: {self.text}")
    for number in range(10):
        author = Author.objects.create(name=f"author {number}")
        article = Article.objects.create(title="One", author=author)
        note = Note.objects.create(article=article, text=f"note {number}")
        Review.objects.create(note=note)
    note.text = "New"
    note.save()
    entry = Entry.objects.of(note).first()
    url = {
        "list": f"{LIST}?model=audit_examples.Note",
        "history": f"{LIST}of/audit_examples.Note/{note.pk}/",
        "entry": page_of(entry),
    }[page]
    with CaptureQueriesContext(connection) as captured:
        assert "author 9: New" in reader.get(url).text
    for model in (Note, Article, Author):
        found = [q for q in captured if f'FROM "{model._meta.db_table}"' in q["sql"]]
        assert len(found) <= 1 + (page != "list" and model is Article), found


def test_no_name_holds_a_masked_value(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    article = Article.objects.create(title="One", access_token="hunter2")
    note = Note.objects.create(article=article, text="x")
    Review.objects.create(note=note)
    monkeypatch.setattr(Article, "__str__", lambda self: f"By {self.access_token}")
    monkeypatch.setattr(Note, "__str__", lambda self: f"Of {self.article.access_token}")
    pages = [LIST, *(page_of(entry) for entry in Entry.objects.all())]
    pages.append(f"{LIST}of/audit_examples.Note/{note.pk}/")
    html = [reader.get(page).text for page in pages]
    assert not [text for text in html if "hunter2" in text]
    assert f"Note {note.pk}" in html[0]
    assert f"Article {article.pk}" in html[0]


def failing(self: Any) -> str:
    raise RuntimeError("no name")


@pytest.mark.parametrize("method", [failing, lambda self: None, lambda self: ""])
def test_a_name_that_cannot_be_made_stops_no_page(
    reader: Any, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    author = Author.objects.create(name="Ada")
    monkeypatch.setattr(Author, "__str__", method)
    for page in (LIST, page_of(Entry.objects.of(author).first())):
        assert f"Author {author.pk}" in reader.get(page).text


def test_keys_that_no_column_holds_are_not_asked_for(reader: Any) -> None:
    values: dict[str, Any] = {"action": "update", "model_label": "audit_examples.Author"}
    for key in ("x", "9" * 30, "-1"):
        Entry(object_id=key, **values).save()
    keys = ["9" * 30, "x", "-1"]
    assert {*objects(reader.get(LIST))} >= {f"Author {key}" for key in keys}


def test_what_was_renamed_has_the_names_of_today(reader: Any) -> None:
    author = Author.objects.create(name="Ada")
    old, new = "audit_examples.Writer", Author._meta.label
    changes = {"called": {"old": "A", "new": "Ada"}, "lost": {"old": 1, "new": 2}}
    Entry(action="update", model_label=old, object_id=str(author.pk), changes=changes).save()
    before = Entry.objects.get(model_label=old)
    Entry(action="rename", model_label=old, changes={"name": {"renamed": "called"}}).save()
    Entry(action="rename", model_label=new, changes={"": {"renamed": old}}).save()
    (listed,) = [each for each in reader.get(LIST).context["cl"].result_list if each == before]
    assert (listed.page.names.label(listed), listed.page.name(listed)) == (new, "Ada")
    assert "Name, lost" in reader.get(LIST).text
    page = reader.get(page_of(before))
    assert sorted(change.label for change in page.context["rows"][0]["changes"]) == ["Name", "lost"]
    assert page.context["model_name"] == "Author"
    # Before then, another model had this label.
    assert history_of(reader, new, str(author.pk)) == [before.object_repr]


def test_it_takes_the_permission_to_see_it(client: Any, reader: Any, admin_user: Any) -> None:
    Author.objects.create(name="Ada")
    pages = [LIST, page_of(Entry.objects.first())]
    assert [reader.get(page).status_code for page in pages] == [200, 200]
    Permission.objects.get(codename="view_entry").delete()
    assert [reader.get(page).status_code for page in pages] == [403, 403]


def test_the_trail_cannot_be_touched(admin_client: Any) -> None:
    Author.objects.create(name="Ada")
    entry = Entry.objects.of(Author.objects.get()).get()
    before = Entry.objects.count()
    for url in (f"{LIST}add/", f"{LIST}{entry.pk}/delete/"):
        assert admin_client.get(url).status_code == 403
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert admin_client.post(page_of(entry), {"actor_name": "nobody"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    admin_client.post(LIST, action)
    assert Entry.objects.count() == before
    assert Entry.objects.get(pk=entry.pk).actor_name == ""
    assert b"delete_selected" not in admin_client.get(LIST).content
