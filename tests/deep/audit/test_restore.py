"""Objects as they were, and the way back."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.db.models import JSONNull
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import triggers
from apps.audit.models import Entry
from apps.audit.restore import CannotRestoreError, restore, state_after, state_at

from ..conftest import register
from ..examples.models import Article, Author, Tag
from ..test_restore import article, latest, tags
from .models import Club, FrontPage, Hotel, Invoice, Note, Place, Restaurant
from .trail import links

pytestmark = pytest.mark.django_db


def test_a_state_at_a_time(article: Article) -> None:
    entry = latest(article)
    article.title = "Second"
    article.save()
    assert state_at(Article, article.pk, timezone.now()).values["title"] == "Second"
    assert state_at(Article, article.pk, entry.created_at).values["title"] == "First"
    long_ago = entry.created_at - timedelta(days=1)
    assert not state_at(Article, article.pk, long_ago).exists


def test_a_deleted_object_comes_back_with_its_links(article: Article) -> None:
    then, before, pk = latest(article), Article.objects.values().get(), article.pk
    (tag, other) = (Tag.objects.get(pk="a"), Tag.objects.create(slug="c"))
    article.tags.remove(tag)
    article.tags.add(tag, other)
    article.tags.remove(other)
    Note.objects.create(article=article, text="Goes along")
    article.delete()
    article.pk = pk
    instance, changed = restore(state_after(then))
    assert instance.pk == pk
    assert changed == {"access_token"}
    assert Article.objects.values().get() == before | {"access_token": ""}
    assert tags(Article.objects.get()) == {"a", "b"}
    assert sorted(links(article, "tags")[-2:]) == [("+", "a"), ("+", "b")]
    # Others that the deletion took along are restored by themselves, after it.
    assert not Note.objects.exists()
    gone = Entry.objects.filter(model_label="audit_examples.Note").last()
    assert gone is not None
    restore(state_after(gone))
    assert Note.objects.get().text == "Goes along"


def test_an_object_that_counts_as_false_is_still_there(
    admin_client: Any, article: Article, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = latest(article)
    Article.objects.update(title="Second", access_token="two")
    monkeypatch.setattr(Article, "__len__", lambda self: 0, raising=False)
    preview = admin_client.get(f"/admin/audit/entry/{then.pk}/bring-back/")
    assert "The field keeps its present value." in preview.text
    assert preview.context["original"] == "Second"
    restore(state_after(then))
    assert Article.objects.values_list("title", "access_token").get() == ("First", "two")


def test_secrets_cannot_be_restored() -> None:
    user = User.objects.create_user("ada", password="first")
    then = latest(user)
    assert state_after(then).unknown == {"last_login"}
    user.set_password("second")
    user.email = "ada@example.com"
    user.save()
    state = state_after(then)
    assert state.unknown == {"last_login", "password"}
    _, changed = restore(state)
    user.refresh_from_db()
    assert (user.email, user.check_password("second")) == ("", True)
    assert changed == {"last_login", "password"}
    user.delete()
    restored: Any = restore(state_after(then))[0]
    assert (restored.username, restored.password) == ("ada", "")


def test_each_state_on_the_way_can_be_told() -> None:
    author = Author.objects.create(name="One")
    for name in ("Two", "Three"):
        author.name = name
        author.save()
    author.delete()
    author = Author(pk=Entry.objects.filter(model_label="audit_examples.Author")[0].object_id)
    states = [state_after(entry) for entry in Entry.objects.of(author).reverse()]
    assert [state.values.get("name") for state in states] == ["One", "Two", "Three", None]
    assert [state.exists for state in states] == [True, True, True, False]
    restore(states[1])
    assert Author.objects.get(pk=author.pk).name == "Two"
    # States from before the restoration stay what they were.
    assert [state_after(e).values.get("name") for e in Entry.objects.of(author).reverse()] == [
        "One", "Two", "Three", None, "Two", "Two",
    ]  # fmt: skip


def test_links_to_what_is_gone_are_named(article: Article) -> None:
    then = latest(article)
    article.tags.clear()
    Tag.objects.get(pk="a").delete()
    _, changed = restore(state_after(then))
    assert changed == {"tags"}
    assert tags(article) == {"b"}


def test_a_foreign_key_to_what_is_gone_is_refused(article: Article) -> None:
    then = latest(article)
    author = article.author
    assert author is not None
    article.author = None
    article.title = "Second"
    article.save()
    entry, key = latest(author), author.pk
    author.delete()
    with transaction.atomic():
        restore(state_after(then))
        # As the commit would.
        with pytest.raises(IntegrityError, match="author"):
            connection.check_constraints()
        transaction.set_rollback(True)
    assert Article.objects.get().title == "Second"
    restore(state_after(then))
    restore(state_after(entry))
    connection.check_constraints()
    assert Article.objects.get().author_id == key


def test_a_unique_value_that_another_has_by_now_is_an_error_of_the_database() -> None:
    group = User.objects.create_user("ada")
    then = latest(group)
    group.username = "bob"
    group.save()
    User.objects.create_user("ada")
    with pytest.raises(IntegrityError), transaction.atomic():
        restore(state_after(then))


def test_there_is_no_way_back_to_before_the_creation() -> None:
    author = Author.objects.create(name="Ada")
    author.delete()
    entry = Entry.objects.filter(model_label="audit_examples.Author")[0]
    with pytest.raises(CannotRestoreError, match=r"There was no author \d+ then. To get there"):
        restore(state_after(entry))


def test_children_and_proxies() -> None:
    hotel = Hotel.objects.create(name="One", beds=2)
    pk, then = hotel.pk, timezone.now()
    hotel.name, hotel.beds = "Two", 5
    hotel.save()
    hotel.delete()
    state = state_at(Hotel, pk, then)
    assert state.values == {"name": "One", "beds": 2, "last_login": None}
    restore(state)
    assert Hotel.objects.values_list("pk", "name", "beds").get() == (pk, "One", 2)
    page = FrontPage.objects.create(title="One")
    then = timezone.now()
    page.delete()
    restore(state_at(FrontPage, Entry.objects.first().object_id, then))  # type: ignore[union-attr]
    assert FrontPage.objects.get().title == "One"


def test_what_a_child_adds_without_being_audited_is_unknown() -> None:
    restaurant = Restaurant.objects.create(name="One", stars=3)
    pk, then = restaurant.pk, timezone.now()
    restaurant.delete()
    state = state_at(Restaurant, pk, then)
    assert state.unknown == {"stars"}
    restore(state)
    assert Restaurant.objects.values_list("name", "stars").get() == ("One", 0)
    assert Place.objects.count() == 1


def test_an_object_older_than_its_trail_comes_back_with_its_links() -> None:
    article = Article.objects.create(title="Old")
    article.tags.add(Tag.objects.create(slug="a"))
    with triggers.without_protection(connection):
        Entry.objects.all()._raw_delete("default")
    pk, then = article.pk, timezone.now()
    article.delete()
    state = state_at(Article, pk, then)
    assert (state.values["title"], state.links["tags"]) == ("Old", {"a"})
    restore(state)
    assert tags(Article.objects.get(pk=pk)) == {"a"}


@pytest.mark.usefixtures("restored")
def test_masked_links_are_unknown() -> None:
    register(Article, mask=["tags"])
    article = Article.objects.create(title="One")
    article.tags.add(Tag.objects.create(slug="a"))
    state = state_at(Article, article.pk, timezone.now())
    assert "tags" in state.unknown
    assert "tags" not in state.links


def test_models_that_are_not_audited_are_refused() -> None:
    group = Group.objects.create(name="One")
    with pytest.raises(CannotRestoreError, match=r"auth.Group is not audited"):
        state_at(Group, group.pk, timezone.now())
    entry = Entry(model_label="gone.Model")
    entry.save()
    with pytest.raises(CannotRestoreError, match=r"gone.Model is no audited model"):
        state_after(entry)


@pytest.mark.parametrize(
    ("name", "old"),
    [("published_on", "x"), ("reads", "x"), ("price", "x"), ("is_open", "x"), ("lasts", "x"),
     ("reference", "x"), ("rating", "x"), ("author", "x"), ("picture", 5), ("published_at", "x")],
)  # fmt: skip
def test_what_a_field_held_when_its_type_was_another_is_unknown(name: str, old: Any) -> None:
    article = Article.objects.create(title="One")
    entry = latest(article)
    changes = {name: {"old": old, "new": None}, "title": {"old": "Zero", "new": "One"}}
    values = {"model_label": entry.model_label, "object_id": str(article.pk)}
    Entry(action="update", changes=changes, **values).save()
    state = state_after(entry)
    assert (state.unknown, state.values["title"]) == ({name}, "Zero")
    assert restore(state)[1] == {name}


def test_what_fields_convert_themselves_is_restored_as_it_was() -> None:
    invoice = Invoice.objects.create(note="hello", total=Decimal("12.34"))
    then = latest(invoice)
    assert then.changes["note"]["new"] == "olleh"
    invoice.note, invoice.total = "bye", None
    invoice.save()
    _, changed = restore(state_after(then))
    assert changed == set()
    assert Invoice.objects.values_list("note", "total").get() == ("hello", Decimal("12.34"))
    invoice.delete()
    restore(state_after(then))
    assert Invoice.objects.values_list("note", "total").get() == ("hello", Decimal("12.34"))


def test_what_a_field_cannot_read_is_unknown() -> None:
    invoice = Invoice.objects.create(parties=("ada", "bob"), note="nekorb", total=1)
    then = latest(invoice)
    Invoice.objects.update(parties=("ada", "eve"), note="hello", total=2)
    state = state_after(then)
    assert state.unknown == {"note"}
    assert restore(state)[1] == {"note"}
    columns = Invoice.objects.values_list("parties", "note", "total").get()
    assert columns == (("ada", "bob"), "hello", 1)


def test_when_an_object_was_created_is_restored() -> None:
    invoice, long_ago = Invoice.objects.create(), datetime(2001, 1, 1, tzinfo=UTC)
    Invoice.objects.update(created_at=long_ago, updated_at=long_ago)
    then, pk = latest(invoice), invoice.pk
    invoice.delete()
    instance, changed = restore(state_after(then))
    invoice = Invoice.objects.get()
    assert changed == set()
    assert (invoice.pk, invoice.created_at) == (pk, long_ago)
    assert instance.created_at == long_ago  # type: ignore[attr-defined]
    note, update = Entry.objects.of(invoice)[:2]
    assert note.changes == {"": {"entry": then.pk}}
    assert update.changes["created_at"]["new"].startswith("2001-01-01")
    # It was changed right now.
    assert invoice.updated_at > then.created_at


@pytest.mark.parametrize("terms", [None, {}, {"json": None}, {"json": 1}, {"json": 1, "a": None}])
def test_null_in_json_is_not_an_empty_column(terms: Any) -> None:
    stored = JSONNull() if terms is None else terms
    invoice = Invoice.objects.create(terms=stored)
    article = Article.objects.create(title="One", details=stored)
    then, then_too = latest(invoice), latest(article)

    def assert_restored() -> None:
        assert Invoice.objects.filter(terms=stored).get().terms == terms
        assert Article.objects.filter(details=stored, details__isnull=False).get().details == terms

    # Without a change since, what is there is kept.
    restore(state_after(then))
    restore(state_after(then_too))
    assert_restored()
    assert Entry.objects.of(article).get() == then_too
    Invoice.objects.update(terms={"a": 1})
    Article.objects.update(details=None)
    assert Entry.objects.of(article).count() == 2
    restore(state_after(then))
    restore(state_after(then_too))
    assert_restored()
    assert Entry.objects.of(article)[1].changes["details"]["old"] is None
    invoice.delete()
    article.delete()
    restore(state_after(then))
    restore(state_after(then_too))
    assert_restored()


def test_an_empty_column_of_json_comes_back_empty() -> None:
    article = Article.objects.create(title="One")
    then = latest(article)
    Article.objects.update(details=JSONNull())
    assert Entry.objects.of(article).count() == 2
    restore(state_after(then))
    assert Article.objects.filter(details__isnull=True).exists()


def test_an_object_that_leads_to_itself_comes_back() -> None:
    invoice = Invoice.objects.create()
    invoice.corrects = invoice
    invoice.save()
    then, pk = latest(invoice), invoice.pk
    invoice.delete()
    restore(state_after(then))
    assert Invoice.objects.values_list("pk", "corrects").get() == (pk, pk)


def test_links_through_a_model_of_its_own_are_left_alone_and_named() -> None:
    club, ada = Club.objects.create(name="One"), Author.objects.create(name="Ada")
    club.members.add(ada, through_defaults={"role": "guest"})
    then = latest(club)
    assert restore(state_after(then))[1] == set()
    assert club.membership_set.get().role == "guest"
    pk = club.pk
    club.delete()
    state = state_after(then)
    assert state.links == {"members": {ada.pk}}
    instance, changed = restore(state)
    assert (instance.pk, changed) == (pk, {"members"})
    assert not Club.objects.get().members.exists()


def test_a_link_that_was_there_twice_stays_when_one_of_the_two_goes() -> None:
    club, ada = Club.objects.create(name="One"), Author.objects.create(name="Ada")
    club.members.add(ada)
    club.membership_set.create(author=ada)
    both = latest(club)
    club.membership_set.all()[0].delete()
    one = latest(club)
    club.members.clear()
    none = latest(club)
    states = [state_after(entry).links["members"] for entry in (both, one, none)]
    assert states == [{ada.pk}, {ada.pk}, set()]


def test_what_a_manager_hides_is_unlinked_too(article: Article) -> None:
    then = latest(article)
    article.tags.add(Tag._base_manager.create(slug="hidden"))
    restore(state_after(then))
    through: Any = Article.tags.through
    assert {*through.objects.values_list("tag", flat=True)} == {"a", "b"}


def test_a_default_of_the_database_does_not_replace_what_was() -> None:
    invoice = Invoice.objects.create(number=3)
    then = latest(invoice)
    invoice.delete()
    restore(state_after(then))
    assert Invoice.objects.get().number == 3


def test_an_object_of_another_database_comes_back_there(other_database: str) -> None:
    article = Article(title="One", attachment="folder/file.txt")
    article.save(using=other_database)
    tag = Tag(slug="a")
    tag.save(using=other_database)
    article.tags.add(tag)
    then, pk = Entry.objects.using(other_database).of(article)[0], article.pk
    article.delete(using=other_database)
    restore(state_after(then))
    there: Any = Article.objects.using(other_database).get()
    assert (there.pk, there.attachment.name, tags(there)) == (pk, "folder/file.txt", {"a"})
    assert (Article.objects.exists(), Entry.objects.exists()) == (False, False)


def test_what_was_renamed_is_known_under_the_names_of_today() -> None:
    for action, label, key, changes in (
        ("create", "shop.Writer", "7", {"pen_name": {"old": None, "new": "Old"}}),
        ("rename", "audit_examples.Author", "", {"": {"renamed": "shop.Writer"}}),
        ("rename", "audit_examples.Author", "", {"name": {"renamed": "pen_name"}}),
        ("delete", "audit_examples.Author", "7", {"name": {"old": "New", "new": None}}),
    ):
        Entry(action=action, model_label=label, object_id=key, changes=changes).save()
    restore(state_after(Entry.objects.of(Author(pk=7)).earliest("pk")))
    assert Author.objects.get(pk=7).name == "New"
