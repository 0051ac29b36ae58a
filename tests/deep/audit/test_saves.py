"""One object at a time: what a save, a deletion and their failures leave on the trail."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import FETCH_PEERS, F, Model, Value
from django.db.models.functions import Concat
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from apps.audit import triggers
from apps.audit.models import Entry

from ..conftest import register
from ..examples.models import Article, Author, Tag
from ..trail import actions, changes, last_change
from .models import FrontPage, Hotel, Note, Place, Restaurant, early

pytestmark = pytest.mark.django_db


@pytest.fixture
def article() -> Article:
    article: Article = Article.objects.create(title="Old", body="Text", reads=1)
    return article


@pytest.fixture(params=["before the trail", "after the trail"])
def listening(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[None]]:
    """Connect a receiver that runs before or after those of the trail."""

    @contextmanager
    def listening(signal: Any, function: Any, sender: type[Model]) -> Iterator[None]:
        if request.param == "before the trail":
            early[signal].append(function)
        else:
            signal.connect(function, sender=sender)
        try:
            yield
        finally:
            early[signal].clear()
            signal.disconnect(function, sender=sender)

    return listening


type Listening = Callable[..., AbstractContextManager[None]]


def test_a_save_that_changes_nothing_records_nothing(article: Article) -> None:
    article.save()
    Article.objects.get(pk=article.pk).save()
    assert actions(article) == ["create"]


def test_update_fields_record_what_was_written(article: Article) -> None:
    article.title = "Dirty"
    article.body = "New"
    article.save(update_fields=["body"])
    assert last_change(article) == {"body": ("Text", "New")}


def test_expressions_record_their_result(article: Article) -> None:
    article.reads = F("reads") + 1
    article.title = Concat(F("title"), Value("er"))
    article.save()
    assert last_change(article) == {"reads": (1, 2), "title": ("Old", "Older")}


def test_a_stale_copy_records_what_it_overwrites(article: Article) -> None:
    stale = Article.objects.get(pk=article.pk)
    article.title = "In between"
    article.save()
    stale.body = "New"
    stale.save()
    assert last_change(article) == {"title": ("In between", "Old"), "body": ("Text", "New")}


def test_a_deletion_records_what_was_in_the_database(article: Article) -> None:
    pk = article.pk
    article.title = "Never saved"
    article.delete()
    article.pk = pk
    entry = Entry.objects.of(article).get(action="delete")
    assert entry.changes["title"] == {"old": "Old", "new": None}


def test_a_cascade_records_the_children(article: Article) -> None:
    author = Author.objects.create(name="Ada")
    article.author = author
    article.save()
    note = Note.objects.create(article=article, text="Read this")
    Author.objects.get(pk=author.pk).delete()
    assert actions(note) == ["create", "delete"]
    assert last_change(note) == {"article": (article.pk, None), "text": ("Read this", None)}
    assert actions(article) == ["create", "update", "delete"]


def test_a_child_is_recorded_as_its_audited_parent() -> None:
    restaurant = Restaurant.objects.create(name="Old", stars=1)
    restaurant.name = "New"
    restaurant.stars = 2
    restaurant.save()
    assert changes(Place(pk=restaurant.pk)) == [{"name": (None, "Old")}, {"name": ("Old", "New")}]
    pk = restaurant.pk
    restaurant.delete()
    assert actions(Place(pk=pk)) == ["create", "update", "delete"]


def test_secrets_are_not_recorded_but_their_change_is(article: Article) -> None:
    article.access_token = "hunter2"
    article.save()
    assert last_change(article) == {"access_token": {"masked": True}}
    assert "hunter2" not in str(list(Entry.objects.values_list("changes", flat=True)))


def test_a_rollback_takes_the_entry_along(article: Article) -> None:
    with transaction.atomic():
        article.title = "New"
        article.save()
        transaction.set_rollback(True)
    assert actions(article) == ["create"]


def test_entries_go_to_the_database_of_the_change(other_database: str) -> None:
    author = Author.objects.using(other_database).create(name="Ada")
    author.name = "Ada L."
    author.save()
    pk = author.pk
    author.delete()
    entries = Entry.objects.using(other_database).of(Author(pk=pk)).reverse()
    assert [entry.action for entry in entries] == ["create", "update", "delete"]
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_without_its_entry_no_change_is_kept(in_transaction: bool) -> None:
    article = Article.objects.create(title="Old")
    author = Author.objects.create(name="Ada")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry RENAME COLUMN changes TO lost")
    try:
        for write in (
            lambda: Author.objects.create(name="Bob"),
            lambda: Article(pk=article.pk, title="New").save(),
            lambda: author.delete(),
            lambda: article.related.add(article),
            lambda: Author.objects.bulk_create([Author(name="Bob"), Author(name="Eve")]),
            lambda: Article.objects.update(title="New"),
            lambda: Article.objects.update(title=Value("New")),
            lambda: Author.objects.all().delete(),
            lambda: Article.objects.all()._raw_delete("default"),
        ):
            # The error is caught inside the transaction, which is rolled back nevertheless.
            with (
                transaction.atomic() if in_transaction else nullcontext(),
                pytest.raises(DatabaseError),
            ):
                write()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE audit_entry RENAME COLUMN lost TO changes")
    assert list(Author.objects.values_list("name", flat=True)) == ["Ada"]
    assert Article.objects.get().title == "Old"
    assert not article.related.exists()


def test_a_value_of_another_type_is_recorded_as_the_database_has_it(article: Article) -> None:
    article.reads = "7"
    article.price = "2.345"
    article.published_on = "2026-01-31"
    article.save()
    # SQLite rounds only what it is asked for.
    held = "2.345" if connection.vendor == "sqlite" else "2.35"
    assert last_change(article) == {
        "reads": (1, 7),
        "price": (None, held),
        "published_on": (None, "2026-01-31"),
    }
    article.save()
    assert len(actions(article)) == 2


def test_a_field_that_stores_something_else_is_recorded_as_stored(article: Article) -> None:
    article.code = "ABC"
    article.save()
    assert last_change(article) == {"code": (None, "abc")}
    article.save()
    assert len(actions(article)) == 2


def test_update_fields_may_name_the_column_of_a_foreign_key(article: Article) -> None:
    ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
    article.author = ada
    article.save(update_fields=["author_id"])
    assert last_change(article) == {"author": (None, ada.pk)}
    # Django does not tell the instance the result of an expression in such a case.
    setattr(article, "author_id", Value(bob.pk))  # noqa: B010  mypy knows no such attribute
    article.save(update_fields=["author_id"])
    assert last_change(article) == {"author": (ada.pk, bob.pk)}


def test_a_deferred_field_is_not_recorded_unless_it_is_written(article: Article) -> None:
    loaded = Article.objects.only("title").get(pk=article.pk)
    loaded.title = "New"
    loaded.save()
    assert last_change(article) == {"title": ("Old", "New")}
    loaded = Article.objects.defer("title").get(pk=article.pk)
    loaded.title = "Newer"
    loaded.save()
    assert last_change(article) == {"title": ("New", "Newer")}


def test_an_instance_made_by_hand_records_what_it_overwrites(article: Article) -> None:
    Article(pk=article.pk, title="By hand", body="Text", reads=1).save()
    assert last_change(article) == {"title": ("Old", "By hand")}


def test_update_or_create_and_get_or_create_are_saves() -> None:
    author, _ = Author.objects.update_or_create(name="Ada", defaults={"name": "Ada"})
    Author.objects.update_or_create(pk=author.pk, defaults={"name": "Ada L."})
    Author.objects.get_or_create(pk=author.pk)
    assert changes(author) == [{"name": (None, "Ada")}, {"name": ("Ada", "Ada L.")}]


def test_a_queryset_deletion_records_each_row(article: Article) -> None:
    other = Article.objects.create(title="Other")
    Article.objects.filter(pk__in=[article.pk, other.pk]).delete()
    assert actions(article) == actions(other) == ["create", "delete"]


def test_a_deletion_of_what_is_gone_records_nothing(article: Article) -> None:
    copy = Article.objects.get(pk=article.pk)
    Article.objects.get(pk=article.pk).delete()
    copy.delete()
    copy.pk = article.pk
    assert actions(copy) == ["create", "delete"]


def test_keys_of_any_type_find_their_object(article: Article) -> None:
    note = Note.objects.create(article=article, text="One")
    dashes = "-" if connection.vendor == "postgresql" else ""
    assert Entry.objects.of(note).get().object_id == str(note.pk).replace("-", dashes)
    assert Entry.objects.named(note._meta.label, str(note.pk)).exists()
    assert Entry.objects.named(note._meta.label, note.pk.hex).exists()
    loaded = Note.objects.get()
    loaded.id, loaded.text = note.pk.hex.upper(), "Two"
    loaded.save()
    assert last_change(note) == {"text": ("One", "Two")}
    tag = Tag.objects.create(slug="ünïcode / key")
    assert Entry.objects.of(tag).get().object_id == "ünïcode / key"


def test_a_proxy_is_recorded_as_its_model() -> None:
    page = FrontPage.objects.create(title="Old")
    page.title = "New"
    page.save()
    pk = page.pk
    page.delete()
    assert actions(Article(pk=pk)) == ["create", "update", "delete"]
    assert {entry.model_label for entry in Entry.objects.all()} == {"audit_examples.Article"}


def test_a_child_that_is_audited_too_has_entries_of_its_own_columns() -> None:
    hotel = Hotel.objects.create(name="Old", beds=1)
    hotel.beds = 2
    hotel.save()
    hotel.delete(keep_parents=True)
    labels = Entry.objects.reverse().values_list("model_label", "action")
    assert list(labels) == [
        ("audit_examples.Place", "create"),
        ("audit_examples.Hotel", "create"),
        ("audit_examples.Hotel", "update"),
        ("audit_examples.Hotel", "delete"),
    ]
    assert Place.objects.count() == 1


def test_what_fixtures_write_is_recorded(article: Article) -> None:
    article.tags.create(slug="a")
    text = serializers.serialize("json", [article]).replace("Old", "From a fixture")
    article.tags.clear()
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert changes(article)[-2:] == [
        {"title": ("Old", "From a fixture")},
        {"tags": {"added": ["a"], "removed": []}},
    ]
    assert {entry.source for entry in Entry.objects.of(article)} == {"command"}


def test_the_trail_itself_can_be_dumped_and_loaded(article: Article) -> None:
    text = serializers.serialize("json", Entry.objects.all())
    with triggers.without_protection(connection):
        Entry.objects.of(article)._raw_delete("default")
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert actions(article) == ["create"]


def test_the_asynchronous_orm_is_recorded() -> None:
    async def write() -> None:
        author = await Author.objects.acreate(name="Ada")
        author.name = "Ada L."
        await author.asave()
        await author.adelete()

    async_to_sync(write)()
    assert list(Entry.objects.reverse().values_list("action", flat=True)) == [
        "create",
        "update",
        "delete",
    ]


def test_an_audited_instance_can_be_pickled(article: Article) -> None:
    copy = pickle.loads(pickle.dumps(article))  # noqa: S301
    copy.title = "New"
    copy.save()
    assert last_change(article) == {"title": ("Old", "New")}


def test_no_object_is_asked_what_it_is_called(
    article: Article, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Article) -> str:
        raise AssertionError

    monkeypatch.setattr(Article, "__str__", fail)
    article.title = "New"
    article.save()
    article.tags.create(slug="a")
    Article.objects.get(pk=article.pk).delete()
    names = [entry.object_repr for entry in Entry.objects.of(article)]
    assert set(names[:-1]) == {"New"}
    assert names[-1] == "Old"


def test_a_deferred_name_stays_deferred_and_is_recorded() -> None:
    Article.objects.create(title="One")
    Article.objects.create(title="Another")
    loaded, peer = Article.objects.only("body").order_by("pk").fetch_mode(FETCH_PEERS)
    loaded.body = "New"
    loaded.save()
    assert "title" in loaded.get_deferred_fields() & peer.get_deferred_fields()
    Article.objects.update(title="Written by others")
    loaded.body = "Newer"
    loaded.save()
    assert {row.title for row in Article.objects.all()} == {"Written by others"}
    assert Entry.objects.of(loaded)[0].object_repr == "Written by others"


def test_a_name_is_that_of_the_database_of_the_change(other_database: str) -> None:
    Author.objects.create(pk=1, name="Here")
    there = Author.objects.using(other_database).create(pk=1, name="There")
    Article.objects.using(other_database).create(title="A", author=there).tags.create(slug="a")
    names = Entry.objects.using(other_database).order_by("pk").values_list("object_repr", flat=True)
    assert list(names) == ["There", "A", "a", "A"]


@pytest.mark.usefixtures("restored")
def test_the_name_of_an_object_tells_nothing_that_is_masked() -> None:
    register(Article, mask=["title"])
    article = Article.objects.create(title="No. 4711", reads=4711)
    article.title = "No. 4711, still"
    article.save()
    article.tags.create(slug="a")
    entries = Entry.objects.filter(object_id=str(article.pk))
    article.delete()
    assert {entry.object_repr for entry in entries} == {""}
    assert "No. 4711" not in str(list(entries.values()))


@pytest.mark.parametrize("name", ["a\nb\tc", "quo'te \" \\ %s {}", "\u202e \x1b[31m", "😀" * 50])
def test_a_name_of_strange_characters_is_recorded_as_it_is(name: str) -> None:
    author = Author.objects.create(name=name)
    entry = Entry.objects.of(author).get()
    assert (entry.object_repr, entry.changes["name"]["new"]) == (name, name)


def test_a_failed_save_leaves_no_entry(article: Article) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Article(pk=article.pk, title="Twice").save(force_insert=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        Note.objects.create(article=article, text=None)
    assert list(Entry.objects.values_list("action", flat=True)) == ["create"]
    article.title = "New"
    article.save()
    assert last_change(article) == {"title": ("Old", "New")}


def test_a_save_within_a_save_comes_after_it_on_the_trail(
    article: Article, listening: Listening
) -> None:
    def once_more(instance: Article, **kwargs: Any) -> None:
        if instance.reads == 1:
            instance.reads = 2
            instance.save()

    with listening(post_save, once_more, Article):
        article.title = "New"
        article.save()
        new = Article.objects.create(title="Other", reads=1)
    assert changes(article)[1:] == [{"title": ("Old", "New")}, {"reads": (1, 2)}]
    assert actions(new) == ["create", "update"]
    assert last_change(new) == {"reads": (1, 2)}


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_a_copy_saved_within_a_save_is_recorded_in_order(
    article: Article, signal: Any, listening: Listening
) -> None:
    bodies: list[str] = []

    def save_a_copy(instance: Article, **kwargs: Any) -> None:
        copy = Article.objects.get(pk=instance.pk)
        if copy is not instance and "Copy" not in bodies:
            bodies.append("Copy")
            copy.body = "Copy"
            copy.save(update_fields=["body"])

    with listening(signal, save_a_copy, Article):
        article.title = "New"
        article.save(update_fields=["title", "reads"])
    steps = [{"title": ("Old", "New")}, {"body": ("Text", "Copy")}]
    assert changes(article)[1:] == (steps if signal is post_save else steps[::-1])


def test_an_object_made_after_another_comes_after_it_on_the_trail(listening: Listening) -> None:
    def add_a_note(instance: Article, **kwargs: Any) -> None:
        Note.objects.create(article=instance, text="Read this")

    with listening(post_save, add_a_note, Article):
        Article.objects.create(title="One")
    labels = Entry.objects.reverse().values_list("model_label", flat=True)
    assert list(labels) == ["audit_examples.Article", "audit_examples.Note"]


def test_an_object_made_within_the_creation_of_another_is_recorded_apart(
    listening: Listening,
) -> None:
    def make_another(instance: Author, **kwargs: Any) -> None:
        if instance.name == "Outer":
            Author.objects.create(name="Inner")

    with listening(pre_save, make_another, Author):
        outer = Author.objects.create(name="Outer")
    assert changes(outer) == [{"name": (None, "Outer")}]
    assert changes(Author.objects.get(name="Inner")) == [{"name": (None, "Inner")}]


def test_a_signal_that_no_write_has_sent_records_nothing(
    article: Article, listening: Listening
) -> None:
    article.tags.create(slug="a")
    named: dict[str, Any] = {"instance": article, "using": "default", "update_fields": None}
    for signal in (pre_save, post_save):
        signal.send(Article, raw=False, created=True, **named)
    for signal in (post_delete, m2m_changed):
        sender = Article if signal is post_delete else Article.tags.through
        signal.send(sender, action="post_clear", reverse=False, pk_set=None, **named)

    def send(**kwargs: Any) -> None:
        post_save.send(Article, created=True, **named)

    with listening(pre_save, send, Author):
        author = Author.objects.create(name="Ada")
    assert actions(author) == ["create"]
    assert actions(article) == ["create", "update"]


def test_a_deletion_within_a_save_comes_last(article: Article, listening: Listening) -> None:
    def delete(instance: Article, **kwargs: Any) -> None:
        Article.objects.get(pk=instance.pk).delete()

    with listening(post_save, delete, Article):
        article.title = "New"
        article.save()
    assert actions(article) == ["create", "update", "delete"]
    assert last_change(article)["title"] == ("New", None)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_lost_takes_change_and_entry_along() -> None:
    author = Author.objects.create(name="Ada")

    @transaction.atomic
    def write_and_be_cut_off() -> None:
        Author.objects.create(name="Bob")
        Author.objects.filter(pk=author.pk).update(name="New")
        lose_the_connection()
        author.save()

    with pytest.raises(DatabaseError):
        write_and_be_cut_off()
    assert list(Author.objects.values_list("name", flat=True)) == ["Ada"]
    assert actions(author) == ["create"]
    assert Entry.objects.count() == 1


def lose_the_connection() -> None:
    """Cut the connection off where the database is a server; drop it where it is a file."""
    if connection.vendor != "postgresql":
        connection.close()
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_receiver_that_fails_after_the_write_leaves_both_or_neither(
    in_transaction: bool, listening: Listening
) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError

    with (
        listening(post_save, fail, Author),
        pytest.raises(RuntimeError),
        transaction.atomic() if in_transaction else nullcontext(),
    ):
        Author.objects.create(name="Ada")
    kept = 0 if in_transaction else 1
    assert (Author.objects.count(), Entry.objects.count()) == (kept, kept)


def test_a_login_is_no_change_and_a_password_has_no_hash(client: Any, admin_user: Any) -> None:
    before = actions(admin_user)
    client.force_login(admin_user)
    assert actions(admin_user) == [*before, "login"]
    admin_user.set_password("another")
    admin_user.save()
    assert last_change(admin_user) == {"password": {"masked": True}}
