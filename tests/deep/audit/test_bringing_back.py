"""The way back in the admin: previews, what cannot be restored, who may, and what goes wrong."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Model
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import Entry
from apps.audit.restore import restore, state_after
from apps.core.actor import acting_as

from ..conftest import register
from ..examples.models import Article, Author, Tag
from ..test_admin import page_of, reader
from ..test_restore import article, latest, tags
from ..test_seals import said
from .models import Club, Hotel, Invoice, Note, Place
from .tables import Book, Shelf, Stock, Ticket

pytestmark = pytest.mark.django_db


THROUGH = "These links hold more than keys, so change them yourself."


def address(entry: Entry) -> str:
    return reverse("admin:audit_entry_bring_back", args=[entry.pk])


def shown(response: Any) -> dict[str, tuple[str | None, str | None]]:
    assert response.status_code == 200
    changes = response.context["preview"].changes
    return {change.label: (change.old, change.new) for change in changes}


def kept(response: Any) -> dict[str, str]:
    return dict(response.context["preview"].left_out)


def send(client: Any, entry: Entry) -> Any:
    """Bring a state back, as its preview offers."""
    page = client.get(address(entry))
    assert 'value="Bring this state back"' in page.text
    latest = page.context["preview"].state.latest
    return client.post(address(entry), {"latest": latest}, follow=True)


def refused(client: Any, entry: Entry) -> Any:
    """Return the preview of a state that it does not offer to bring back; nor does its form."""
    page = client.get(address(entry))
    assert "submit" not in page.text.split("<form")[-1].split('class="submit-row"')[1]
    before = Entry.objects.latest("pk")
    again = client.post(address(entry), {"latest": page.context["preview"].state.latest})
    assert (again.status_code, Entry.objects.latest("pk")) == (200, before)
    return page


def gone(entry: Entry) -> Entry:
    found = Entry.objects.filter(model_label=entry.model_label, action="delete").first()
    assert found is not None
    return found


def test_a_preview_shows_each_change_from_now_to_then(admin_client: Any, article: Article) -> None:
    then = latest(article)
    bob, c = Author.objects.create(name="Bob"), Tag.objects.create(slug="c")
    ada = article.author
    assert ada is not None
    article.title, article.author, article.details, article.picture = "Second", bob, {"b": 2}, None
    article.save()
    article.tags.set([c, Tag.objects.get(pk="b")])
    before = Entry.objects.latest("pk")
    page = admin_client.get(address(then))
    assert shown(page) == {
        "Headline": ("Second", "First"),
        "Author": (f"Bob ({bob.pk})", f"Ada ({ada.pk})"),
        "Picture": (None, {"sqlite": "\\x0001", "postgresql": "AAE="}[connection.vendor]),
        "Details": ('{"b": 2}', '{"a": [1, null]}'),
        "Tags": ("#c (c)", "#a (a)"),
    }
    assert (kept(page), Entry.objects.latest("pk")) == ({}, before)
    for text in ("as it was after", "<del>Second</del>", "<ins>First</ins>", "Now", "Then"):
        assert text in page.text
    done = send(admin_client, then)
    assert done.redirect_chain == [
        (f"/admin/audit/entry/of/audit_examples.Article/{article.pk}/", 302)
    ]
    assert "First was brought back." in done.text
    article.refresh_from_db()
    assert (article.title, article.author, tags(article)) == ("First", ada, {"a", "b"})


def test_a_restoration_leads_to_the_entry_it_came_from(
    admin_client: Any, admin_user: Any, article: Article
) -> None:
    then = latest(article)
    Article.objects.update(title="Second")
    send(admin_client, then)
    note = latest(article)
    assert (note.action, note.changes, note.object_repr) == (
        "restore",
        {"": {"entry": then.pk}},
        "First",
    )
    assert (note.actor_id, note.actor_name, note.source) == (admin_user.pk, "admin", "request")
    assert note.request_id == Entry.objects.of(article)[1].request_id != ""
    link = f'<a href="{page_of(then)}">entry #{then.pk}</a>'
    history = reverse("admin:audit_entry_history_of", args=["audit_examples.Article", article.pk])
    for page in (page_of(note), history, "/admin/audit/entry/"):
        assert link in admin_client.get(page).text
    terminal = said("history", "audit_examples.Article", str(article.pk))
    assert f"  as it was after entry #{then.pk}\n" in terminal
    # It has a separate state, and confuses no other.
    assert state_after(note).values == state_after(then).values
    assert state_after(then).unknown == state_after(note).unknown == set()


def test_a_restoration_that_changes_nothing_is_not_on_the_trail(article: Article) -> None:
    then = latest(article)
    restore(state_after(then))
    assert latest(article) == then


def test_a_deleted_object_comes_back_with_the_links_it_lost(
    admin_client: Any, article: Article
) -> None:
    pk = article.pk
    article.tags.remove(Tag.objects.get(pk="a"))
    with acting_as(User.objects.create_user("other")):
        article.tags.remove(Tag.objects.get(pk="b"))
    article.tags.add(Tag.objects.create(slug="c"))
    article.delete()
    article.pk = pk
    page = admin_client.get(address(latest(article)))
    assert "as it was before" in page.text
    assert shown(page)["Tags"] == (None, "#c (c)")
    assert shown(page)["Headline"] == (None, "First")
    assert kept(page)["Access token"].endswith("The field gets its default value.")
    done = send(admin_client, latest(article))
    assert "Not as they were: Access token" in done.text
    assert (Article.objects.get().pk, tags(article)) == (pk, {"c"})
    assert latest(article).changes[""]["before"] is True
    assert "As it was before" in admin_client.get(page_of(latest(article))).text
    # The deletion is undone, and has no state to bring back then.
    assert "already as it was" in admin_client.get(address(gone(latest(article)))).text


def test_links_that_the_database_took_along_come_back(admin_client: Any) -> None:
    book = Book.objects.create(title="One", shelf=Shelf.objects.create(name="A"))
    book.tags.add(Tag.objects.create(slug="a"))
    entry, pk = latest(book), book.pk
    Shelf.objects.all().delete()
    page = admin_client.get(address(gone(entry)))
    assert kept(page)["Shelf"].startswith("No longer there: ")
    assert "These links hold more than keys" in kept(page)["Tags"]
    send(admin_client, gone(entry))
    assert Book.objects.get(pk=pk).shelf is None


@pytest.mark.parametrize("label", ["Hotel", "Place"])
def test_a_child_comes_back_whole_from_the_deletion_of_each_of_its_rows(
    admin_client: Any, label: str
) -> None:
    hotel = Hotel.objects.create(name="One", beds=2)
    pk = hotel.pk
    hotel.delete()
    entry = Entry.objects.get(model_label=f"audit_examples.{label}", action="delete")
    page = admin_client.get(address(entry))
    assert shown(page) == {"Name": (None, "One"), "Beds": (None, "2")}
    send(admin_client, entry)
    assert Hotel.objects.values_list("pk", "name", "beds").get() == (pk, "One", 2)


def test_a_change_of_a_parents_column_leads_to_the_child(admin_client: Any) -> None:
    hotel, place = Hotel.objects.create(name="One", beds=2), Place.objects.create(name="Alone")
    entry = latest(hotel)
    hotel.name, hotel.beds = "Two", 5
    hotel.save()
    changed = Entry.objects.get(model_label="audit_examples.Place", action="update")
    hotel.name = "Three"
    hotel.save()
    page = admin_client.get(address(changed))
    assert page.context["preview"].state.model is Hotel
    assert shown(admin_client.get(address(entry))) == {"Name": ("Three", "One"), "Beds": ("5", "2")}
    send(admin_client, entry)
    assert Hotel.objects.values_list("name", "beds").get() == ("One", 2)
    place.delete()
    send(admin_client, gone(changed))
    assert Place.objects.filter(name="Alone", hotel=None).exists()


@pytest.mark.parametrize("key", ["a/b?c_d", 'ü \', "x"'])
def test_keys_of_text_and_uuids(admin_client: Any, key: str, article: Article) -> None:
    tag = Tag.objects.create(slug=key)
    note = Note.objects.create(article=article, text="Old")
    pk = note.pk
    Note.objects.update(text="New")
    send(admin_client, Entry.objects.of(note).last() or Entry())
    assert Note.objects.get().text == "Old"
    note.delete()
    tag.delete()
    tag.pk, note.pk = key, pk
    for one in (tag, note):
        send(admin_client, latest(one))
    assert Tag.objects.filter(pk=key).exists()
    assert Note.objects.get().pk == pk


def test_what_is_not_recorded_or_secret_is_named(admin_client: Any) -> None:
    user = User.objects.create_user("ada", password="first", first_name="Ada")
    then = latest(user)
    user.set_password("second")
    user.first_name = "Bob"
    user.save()
    page = admin_client.get(address(then))
    assert shown(page) == {"First name": ("Bob", "Ada")}
    assert kept(page) == {
        "Last login": "The trail does not record it. The field keeps its present value.",
        "Password": "The value is secret and not recorded. The field keeps its present value.",
    }
    done = send(admin_client, then)
    assert "Not as they were: Password, Last login" in done.text
    user.refresh_from_db()
    assert (user.first_name, user.check_password("second")) == ("Ada", True)


def test_what_the_trail_cannot_tell_is_named(admin_client: Any, article: Article) -> None:
    entry = latest(article)
    changes = {"published_on": {"old": "x", "new": None}, "title": {"old": "Zero", "new": "First"}}
    values = {"model_label": entry.model_label, "object_id": str(article.pk)}
    Entry(action="update", changes=changes, **values).save()
    page = admin_client.get(address(entry))
    assert shown(page) == {"Headline": ("First", "Zero")}
    assert kept(page)["Published on"].startswith("The trail cannot tell the value")


def test_a_time_of_the_last_change_is_no_change(admin_client: Any) -> None:
    invoice = Invoice.objects.create(number=1)
    then = latest(invoice)
    invoice.save()
    page = refused(admin_client, then)
    assert "already as it was" in page.text
    assert kept(page) == {"Updated at": "It gets the time at which you bring it back."}
    invoice.number = 2
    invoice.save()
    assert shown(admin_client.get(address(then))) == {"Number": ("2", "1")}
    send(admin_client, then)
    assert Invoice.objects.get().number == 1


def test_links_through_a_model_of_the_project_are_named(admin_client: Any) -> None:
    club, ada = Club.objects.create(name="One"), Author.objects.create(name="Ada")
    club.members.add(ada, through_defaults={"role": "guest"})
    then = latest(club)
    club.members.clear()
    page = refused(admin_client, then)
    assert kept(page) == {"Members": f"{THROUGH} The field keeps its present value."}


def test_links_to_what_is_gone_are_left_out(admin_client: Any, article: Article) -> None:
    then = latest(article)
    article.tags.clear()
    Tag.objects.get(pk="a").delete()
    page = admin_client.get(address(then))
    assert shown(page) == {"Tags": (None, "#b (b)")}
    assert kept(page) == {"Tags": "No longer there: a."}
    send(admin_client, then)
    assert tags(article) == {"b"}
    Tag.objects.all().delete()
    assert kept(refused(admin_client, then))["Tags"].endswith(("there: a, b.", "there: b, a."))


def test_many_links_come_back(admin_client: Any, article: Article) -> None:
    Tag.objects.bulk_create(Tag(slug=f"t{n:03}") for n in range(80))
    article.tags.set(Tag.objects.all())
    then, keys = latest(article), tags(article)
    assert state_after(then).links["tags"] == keys
    article.tags.clear()
    page = admin_client.get(address(then))
    assert shown(page)["Tags"][1].endswith("and 32 more")  # type: ignore[union-attr]
    assert kept(page) == {}
    send(admin_client, then)
    assert tags(article) == keys


def test_a_foreign_key_to_what_is_gone_keeps_its_value(admin_client: Any, article: Article) -> None:
    then, ada = latest(article), article.author
    assert ada is not None
    key = ada.pk
    article.author, article.title = None, "Second"
    article.save()
    ada.delete()
    page = admin_client.get(address(then))
    assert shown(page) == {"Headline": ("Second", "First")}
    assert kept(page) == {"Author": f"No longer there: {key}. The field keeps its present value."}
    done = send(admin_client, then)
    assert "Not as they were: Author" in done.text
    connection.check_constraints()
    assert Article.objects.values_list("title", "author").get() == ("First", None)


def test_an_object_that_leads_to_itself_comes_back(admin_client: Any) -> None:
    invoice, article = Invoice.objects.create(), Article.objects.create(title="One")
    invoice.corrects = invoice
    invoice.save()
    article.related.add(article)
    entries, keys = (latest(invoice), latest(article)), (invoice.pk, article.pk)
    invoice.delete()
    article.delete()
    for entry in entries:
        page = admin_client.get(address(gone(entry)))
        assert not {"Corrects", "Related"} & kept(page).keys()
        send(admin_client, gone(entry))
    assert Invoice.objects.values_list("pk", "corrects").get() == (keys[0], keys[0])
    article = Article.objects.get(pk=keys[1])
    assert [*article.related.all()] == [article]


def test_what_an_object_needs_has_to_be_brought_back_first(
    admin_client: Any, article: Article
) -> None:
    note = Note.objects.create(article=article, text="Goes along")
    entry = latest(note)
    article.delete()
    page = refused(admin_client, gone(entry))
    assert kept(page)["Article"].endswith(". So the object cannot be brought back now.")
    send(admin_client, Entry.objects.get(model_label="audit_examples.Article", action="delete"))
    send(admin_client, gone(entry))
    connection.check_constraints()
    assert Note.objects.get().text == "Goes along"


def test_a_unique_value_that_another_object_has_now(admin_client: Any) -> None:
    stock = Stock.objects.create(code="a", count=1)
    then = latest(stock)
    stock.code, stock.count = "b", 2
    stock.save()
    other = Stock.objects.create(code="a")
    page = admin_client.get(address(then))
    assert shown(page) == {"Count": ("2", "1")}
    why = f"Another stock has this value now: {other.pk}."
    assert kept(page) == {"Code": f"{why} The field keeps its present value."}
    send(admin_client, then)
    assert Stock.objects.filter(code="b", count=1).exists()
    stock.delete()
    page = refused(admin_client, then)
    assert kept(page) == {
        "Code": f"{why} So the object cannot be brought back now.",
        "Pin": "The value is secret and not recorded. The field gets its default value.",
    }


def test_what_a_constraint_refuses_today_is_left_out(admin_client: Any) -> None:
    ticket = Ticket.objects.create(code="a", seat=1, place="A")
    then = latest(ticket)
    Ticket.objects.filter(pk=ticket.pk).update(code="b", seat=2, place="B")
    keeps = " The field keeps its present value."
    Ticket.objects.create(code="A", seat=1)
    page = admin_client.get(address(then))
    assert shown(page) == {"Place": ("B", "A")}
    assert kept(page) == {
        "Code": f"Constraint “audit_ticket_code” is violated.{keeps}",
        "Seat": f"The seat is taken.{keeps}",
    }
    send(admin_client, then)
    assert Ticket.objects.filter(code="b", seat=2, place="A").exists()


def test_the_email_of_a_user_that_another_has_now(admin_client: Any) -> None:
    user = User.objects.create_user("ada", "ada@example.com", first_name="Ada")
    then = latest(user)
    User.objects.filter(pk=user.pk).update(first_name="Bob", email="bob@example.com")
    User.objects.create_user("eve", "ADA@example.com")
    page = admin_client.get(address(then))
    assert shown(page) == {"First name": ("Bob", "Ada")}
    assert kept(page)["Email address"].startswith("A user with that email address already exists.")
    assert "Not as they were" in send(admin_client, then).text


@pytest.mark.parametrize("model", ["audit_examples.Author", "audit_examples.Note"])
def test_a_key_of_another_type_has_no_state(admin_client: Any, model: str) -> None:
    entry = Entry(action="update", model_label=model, object_id="x", changes={})
    entry.save()
    assert admin_client.get(page_of(entry)).status_code == 200
    assert admin_client.get(address(entry)).status_code == 404


def test_a_state_without_the_object_says_so(admin_client: Any) -> None:
    tag = Tag.objects.create(slug="a")
    created = latest(tag)
    assert "already as it was" in refused(admin_client, created).text
    article = Article.objects.create(title="One")
    article.tags.add(tag)
    values = {"model_label": "audit_examples.Article", "object_id": str(article.pk)}
    article.delete()
    # The database has removed a link after the object.
    Entry(action="update", changes={"tags": {"added": [], "removed": ["a"]}}, **values).save()
    page = refused(admin_client, Entry.objects.latest("pk"))
    assert "was not there in this state" in page.text


def test_a_change_in_the_meantime_is_shown_first(admin_client: Any) -> None:
    author = Author.objects.create(name="One")
    then = latest(author)
    Author.objects.update(name="Two")
    seen = admin_client.get(address(then)).context["preview"].state.latest
    Author.objects.update(name="Three")
    for stale in (seen, "", "x", "9" * 5000):
        page = admin_client.post(address(then), {"latest": stale})
        assert "was changed in the meantime" in page.text
        assert shown(page) == {"Name": ("Three", "One")}
        assert Author.objects.get().name == "Three"
    admin_client.post(address(then), {"latest": page.context["preview"].state.latest})
    assert Author.objects.get().name == "One"


def test_logins_and_restorations_are_no_change_in_the_meantime(admin_client: Any) -> None:
    user = User.objects.create_user("ada", first_name="Ada")
    created = latest(user)
    user.first_name = "Bob"
    user.save()
    changed = latest(user)
    Client().force_login(user)
    assert latest(user).action == "login"
    for then, name in ((created, "Ada"), (changed, "Bob"), (created, "Ada")):
        assert "was brought back" in send(admin_client, then).text
        user.refresh_from_db()
        assert user.first_name == name
        assert latest(user).action == "restore"


def test_an_error_of_the_database_is_a_message_and_nothing_is_half_done(
    admin_client: Any, article: Article
) -> None:
    then = latest(article)
    article.tags.clear()
    Article.objects.update(title="Second")
    before = Entry.objects.latest("pk")
    page = admin_client.get(address(then))

    def interfere(sender: type[Model], instance: Any, **kwargs: Any) -> None:
        instance.status = None

    pre_save.connect(interfere, sender=Article)
    try:
        seen = page.context["preview"].state.latest
        again = admin_client.post(address(then), {"latest": seen})
    finally:
        pre_save.disconnect(interfere, sender=Article)
    assert "The database has refused this state" in again.text
    assert 'value="Bring this state back"' in again.text
    assert (Article.objects.get().title, tags(article)) == ("Second", set())
    assert Entry.objects.latest("pk") == before


def test_what_the_project_refuses_is_a_message(admin_client: Any) -> None:
    author = Author.objects.create(name="One")
    then = latest(author)
    Author.objects.update(name="Two")
    seen = latest(author).pk

    def refuse(**kwargs: Any) -> None:
        raise ValidationError("Authors are closed.")

    pre_save.connect(refuse, sender=Author)
    try:
        page = admin_client.post(address(then), {"latest": seen})
    finally:
        pre_save.disconnect(refuse, sender=Author)
    assert "Authors are closed." in page.text
    assert Author.objects.get().name == "Two"


@pytest.fixture
def in_the_admin() -> Any:
    """Give authors pages in the admin, for those who may change one of them."""

    class AuthorAdmin(admin.ModelAdmin):
        def has_change_permission(self, request: Any, obj: Any = None) -> bool:
            return bool(obj and obj.name == "Mine")

        def has_add_permission(self, request: Any) -> bool:
            return bool(request.user.first_name == "May add")

    admin.site.register(Author, AuthorAdmin)
    yield
    admin.site.unregister(Author)


def links_to_it(client: Any, entry: Entry) -> Any:
    """Whether the pages of an entry and of its object lead to the way back, and whether it opens."""
    history = reverse("admin:audit_entry_history_of", args=[entry.model_label, entry.object_id])
    pages = [address(entry) in client.get(page).text for page in (page_of(entry), history)]
    statuses = {client.get(address(entry)).status_code, client.post(address(entry)).status_code}
    assert len(statuses) == 1
    return [*pages, statuses == {200}]


def test_the_admin_of_the_model_says_who_may(reader: Any, in_the_admin: Any) -> None:
    mine, other = (Author.objects.create(name=name) for name in ("Mine", "Other"))
    assert links_to_it(reader, latest(mine)) == [True] * 3
    assert links_to_it(reader, latest(other)) == [False] * 3
    mine.delete()
    deletion = gone(latest(other))
    assert links_to_it(reader, deletion) == [False] * 3
    User.objects.filter(username="reader").update(first_name="May add")
    assert links_to_it(reader, deletion) == [True] * 3


def test_without_an_admin_the_permissions_of_the_model_say_who_may(
    reader: Any, django_user_model: Any
) -> None:
    author = Author.objects.create(name="Ada")
    entry = latest(author)
    assert links_to_it(reader, entry) == [False] * 3
    django_user_model.objects.filter(username="reader").update(is_superuser=True)
    assert links_to_it(reader, entry) == [True] * 3
    Permission.objects.get(codename="view_entry").delete()
    django_user_model.objects.filter(username="reader").update(is_superuser=False)
    assert reader.get(address(entry)).status_code == 403


def test_entries_without_a_state_lead_nowhere(admin_client: Any) -> None:
    renamed = Entry(action="rename", model_label="audit_examples.Author", changes={})
    lost = Entry(action="update", model_label="gone.Model", object_id="1")
    for entry in (renamed, lost):
        entry.save()
        assert address(entry) not in admin_client.get(page_of(entry)).text
    assert admin_client.get(address(lost)).status_code == 404
    assert (
        admin_client.get("/admin/audit/entry/99999999999999999999/bring-back/").status_code == 404
    )


def test_an_object_of_another_database_is_brought_back_there(other_database: str) -> None:
    from apps.audit.bringing_back import Preview

    article = Article(title="One")
    article.save(using=other_database)
    tag = Tag(slug="a")
    tag.save(using=other_database)
    article.tags.add(tag)
    pk = article.pk
    article.delete(using=other_database)
    entry = Entry.objects.using(other_database).of(Article(pk=pk))[0]
    preview = Preview(entry)
    assert preview.is_possible
    assert preview.restore(str(preview.state.latest))[0]
    there: Any = Article.objects.using(other_database).get()
    assert (there.pk, tags(there)) == (pk, {"a"})
    assert not Entry.objects.exists()


def test_a_preview_of_a_user_takes_few_queries(
    admin_client: Any, django_assert_max_num_queries: Any
) -> None:
    user = User.objects.create_user("ada", first_name="Ada")
    then = latest(user)
    user.first_name = "Bob"
    user.save()
    admin_client.get(address(then))
    with django_assert_max_num_queries(9):
        assert shown(admin_client.get(address(then))) == {"First name": ("Bob", "Ada")}
