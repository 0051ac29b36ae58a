"""The trail in the admin: to read and to bring back, and nothing else."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import Entry

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
    page = page_of(Entry.objects.first())
    for url in (f"{LIST}add/", page.replace("change", "delete"), page):
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert b"delete_selected" not in admin_client.get(LIST).content


def test_the_history_of_an_object_is_one_click_away(reader: Any) -> None:
    ada = Author.objects.create(name="Ada")
    Author.objects.create(name="Bob")
    Tag.objects.create(slug=str(ada.pk))
    ada.name = "Ada Lovelace"
    ada.save()
    page = reader.get(page_of(Entry.objects.of(ada).first()))
    history = reader.get(page.context["history_url"])
    shown = [(row["entry"].action, row["changes"][0].new) for row in history.context["rows"]]
    assert shown == [("update", "Ada Lovelace"), ("create", "Ada")]
    assert page.context["history_url"] in reader.get(LIST).content.decode()


def test_a_former_state_is_brought_back_after_a_preview(admin_client: Any) -> None:
    author, tag = Author.objects.create(name="Ada"), Tag.objects.create(slug="a")
    article = Article.objects.create(title="Old", author=author, access_token="one")
    article.tags.add(tag)
    pk = article.pk
    Article.objects.update(title="New", access_token="two")
    article.delete()
    deletion = Entry.objects.get(model_label="audit_examples.Article", action="delete")
    url = reverse("admin:audit_entry_bring_back", args=[deletion.pk])
    assert url in admin_client.get(page_of(deletion)).text
    preview = admin_client.get(url)
    for text in ("<ins>New</ins>", f"<ins>Ada ({author.pk})</ins>", "<ins>#a (a)</ins>"):
        assert text in preview.text
    assert "The value is secret and not recorded." in preview.text
    assert not Article.objects.exists()
    latest = preview.context["preview"].state.latest
    history = admin_client.post(url, {"latest": latest}, follow=True)
    assert "New was brought back. Not as they were: Access token." in history.text
    article = Article.objects.get(pk=pk)
    assert (article.title, [*article.tags.all()]) == ("New", [tag])


def test_bringing_back_takes_the_permission_to_see_and_to_change(reader: Any) -> None:
    user = User.objects.create_user("ada")
    entry = Entry.objects.of(user)[0]
    url = reverse("admin:audit_entry_bring_back", args=[entry.pk])
    assert url not in reader.get(page_of(entry)).text
    assert [reader.get(url).status_code, reader.post(url).status_code] == [403, 403]
    permission = Permission.objects.get(codename="change_user")
    User.objects.get(username="reader").user_permissions.add(permission)
    assert url in reader.get(page_of(entry)).text
    assert reader.get(url).status_code == 200
    Permission.objects.get(codename="view_entry").delete()
    assert {reader.get(page).status_code for page in (LIST, page_of(entry), url)} == {403}
