"""The trail in the admin: to read, to search and to filter, and nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.audit.presentation import changes_of
from apps.core.actor import acting_as

from .examples.models import Article, Author, Tag

pytestmark = pytest.mark.django_db

LIST = "/admin/audit/entry/"


def page_of(entry: Entry | None) -> str:
    assert entry is not None
    return reverse("admin:audit_entry_change", args=[entry.pk])


@pytest.fixture
def reader(client: Any, django_user_model: Any) -> Any:
    """Log in a member of the staff who may see the trail and nothing else."""
    user = django_user_model.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_entry"))
    client.force_login(user)
    return client


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


def test_it_takes_the_permission_to_see_it(client: Any, reader: Any, admin_user: Any) -> None:
    Author.objects.create(name="Ada")
    entry = Entry.objects.first()
    assert reader.get(LIST).status_code == 200
    assert reader.get(page_of(entry)).status_code == 200
    Permission.objects.get(codename="view_entry").delete()
    assert reader.get(LIST).status_code == 403
    assert reader.get(page_of(entry)).status_code == 403


def test_the_list_names_action_object_actor_and_fields(reader: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        author = Author.objects.create(name="Ada")
        author.name = "Ada Lovelace"
        author.save()
    html = reader.get(LIST).content.decode()
    for text in ("Created", "Changed", "Author", "Ada Lovelace", "admin", "Name", "the system"):
        assert text in html


def objects(response: Any) -> list[str]:
    return [entry.object_repr for entry in response.context["cl"].result_list]


def test_filters_and_search(reader: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        ada = Author.objects.create(name="Ada")
        Tag.objects.create(slug="django")
    Author.objects.create(name="Bob").delete()
    Entry(content_type_id=0, object_repr="By one who left", actor_name="gone").save()
    author = "audit_examples.Author"
    assert objects(reader.get(LIST, {"model": author})) == ["Bob", "Bob", "Ada"]
    assert objects(reader.get(LIST, {"actor": admin_user.pk})) == ["#django", "Ada"]
    assert objects(reader.get(LIST, {"actor": "nobody", "q": "B"})) == ["Bob", "Bob"]
    assert objects(reader.get(LIST, {"action": "delete"})) == ["Bob"]
    assert objects(reader.get(LIST, {"q": "djan"})) == ["#django"]
    assert objects(reader.get(LIST, {"q": ada.pk, "model": author})) == ["Ada"]
    assert objects(reader.get(LIST, {"created_at__gte": "2999-01-01 00:00:00+00:00"})) == []
    assert reader.get(LIST, {"actor": "nonsense"}).status_code == 302


def test_the_history_of_an_object_is_one_click_away(reader: Any) -> None:
    ada = Author.objects.create(name="Ada")
    Author.objects.create(name="Bob")
    Tag.objects.create(slug=str(ada.pk))
    page = reader.get(page_of(Entry.objects.of(ada).first()))
    assert objects(reader.get(page.context["history_url"])) == ["Ada"]


def test_the_diff_shows_labels_and_names(reader: Any) -> None:
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
    shown = {change.label: (change.old, change.new) for change in response.context["changes"]}
    assert shown == {
        "Headline": ("<b>Old</b>", "New"),
        "Body": ("Text", ""),
        "Status": ("Draft", "Public"),
        "Author": (None, f"Ada ({author.pk})"),
        "Is open": ("No", "Yes"),
        "Access token": (None, None),
        "Details": (None, '{\n  "a": 1\n}'),
        "Picture": (None, "2 bytes"),
    }
    html = response.content.decode()
    assert "<del>&lt;b&gt;Old&lt;/b&gt;</del>" in html
    assert "<ins>New</ins>" in html
    assert "The value is secret" in html
    assert "hunter" not in html


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
    unlinked, linked = Entry.objects.of(article)[:2]
    (change,) = reader.get(page_of(unlinked)).context["changes"]
    assert change.removed == ["no longer there (gone)"]
    response = reader.get(page_of(linked))
    (change,) = response.context["changes"]
    assert change.added == ["no longer there (gone)", "#kept (kept)"]
    assert b"<ins>#kept (kept)</ins>" in response.content


def test_a_creation_leaves_out_what_has_no_value(reader: Any) -> None:
    article = Article.objects.create(title="One")
    response = reader.get(page_of(Entry.objects.of(article).first()))
    labels = [change.label for change in response.context["changes"]]
    assert labels == ["Headline", "Status", "Reads", "Is open", "Access token"]


def test_entries_of_what_the_project_no_longer_has_can_be_read(reader: Any) -> None:
    values = {"content_type_id": 0, "object_id": "1", "object_repr": "Gone", "action": "update"}
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
        reader.get(page_of(e)).context["changes"] for e in Entry.objects.filter(object_repr="Gone")
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
    with django_assert_max_num_queries(5):
        admin_client.get(LIST)
    entry = Entry.objects.of(admin_user).first()
    assert entry is not None
    assert len(entry.changes["user_permissions"]["added"]) > 20
    with django_assert_max_num_queries(8):
        admin_client.get(page_of(entry))
