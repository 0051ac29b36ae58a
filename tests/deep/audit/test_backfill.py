"""Objects that are older than the trail: keys, links, parents and names of every kind.

``AUDIT_ROWS=1000000 uv run pytest -s apps/audit/tests/test_backfill.py -k many`` records as many
rows, and prints how long that takes and how much memory it needs.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any, Final

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.db.models import JSONNull
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import backfill as module
from apps.audit import registry, restore, triggers
from apps.audit.backfill import backfill
from apps.audit.lineage import Names
from apps.audit.models import Entry
from apps.audit.seals import BusyError
from apps.core.actor import acting_as

from ..conftest import before_the_trail, register
from ..examples.models import Article, Author, Tag
from ..test_backfill import article
from ..trail import actions
from .models import Club, FrontPage, Hotel, Invoice, Membership, Note, Place, Restaurant
from .tables import Book, BookTag, Shelf
from .test_concurrency import run, wait_for_another
from .test_many import NUMBERS
from .test_rebuilding import compare
from .writes import TEXTS, WRITES, Choices, populate

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

DAY: Final = timedelta(days=1)
ROWS: Final = int(os.environ.get("AUDIT_ROWS", "5000"))
MOST_MEGABYTES: Final = 50
in_one_transaction = pytest.mark.django_db
needs_locks = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="Needs PostgreSQL: let DATABASE_URL name it."
)


def record(model: Any) -> int:
    """Record what is older than the trail in the table of a model and in those of its parents."""
    return sum(backfill(audited) for audited in registry.covering(model))


def record_all() -> int:
    return sum(map(record, registry.audited_models()))


def states(model: Any) -> list[Entry]:
    return list(Entry.objects.filter(action="state", model_label=model._meta.label).order_by("pk"))


@in_one_transaction
def test_keys_of_every_kind() -> None:
    with before_the_trail():
        tags = [Tag.objects.create(slug=text) for text in TEXTS if text]
        notes = [Note.objects.create(article=Article.objects.create(title="")) for _ in range(3)]
        Author.objects.bulk_create([Author(pk=-5, name="below"), Author(pk=2**31 - 1, name="top")])
    assert (record(Tag), record(Note), record(Author)) == (len(tags), 3, 2)
    for one in (*tags, *notes):
        state = restore.state_after(Entry.objects.of(one).get())
        assert (state.exists, str(state.pk)) == (True, registry.object_key(type(one), one.pk))
    assert {one.object_id for one in states(Author)} == {"-5", str(2**31 - 1)}
    record(Article)
    compare()


@in_one_transaction
def test_values_of_every_kind() -> None:
    with before_the_trail():
        populate()
        for number in range(10):
            WRITES["create_an_article"](Choices(number, number, 9 - number, TEXTS[number % 7]))
        Invoice.objects.create(note="abc", total=2, parties=("a", "b"), terms={"json": 1})
        Invoice.objects.create(terms=JSONNull())
    assert record_all() > 20
    assert record_all() == 0
    # All of them, as the replay of the trail gives them, are in the tables.
    compare()


@in_one_transaction
def test_batches_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    with before_the_trail():
        Author.objects.bulk_create(Author(name=str(number)) for number in range(10))
    Author.objects.create(name="newer")
    with CaptureQueriesContext(connection) as captured:
        assert record(Author) == 10
    inserts = [one for one in captured.captured_queries if "INSERT INTO" in one["sql"]]
    assert len(inserts) == 4
    assert len({one.object_id for one in states(Author)}) == 10


@in_one_transaction
def test_a_run_that_stopped_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    with before_the_trail():
        Author.objects.bulk_create(Author(name=str(number)) for number in range(10))
    batch = module._Batch(registry.audited_models()[Author], "default")
    assert (batch.add(), batch.add()) == (3, 3)
    assert record(Author) == 4
    assert len(states(Author)) == len({one.object_id for one in states(Author)}) == 10


@in_one_transaction
def test_what_was_changed_since_the_trail_began_is_recorded_too() -> None:
    with before_the_trail():
        author = Author.objects.create(name="First")
    author.name = "Second"
    author.save()
    assert record(Author) == 1
    author.name = "Third"
    author.save()
    *_, first, state, last = reversed(Entry.objects.of(author))
    assert [one.action for one in (first, state, last)] == ["update", "state", "update"]
    assert state.changes == {"name": {"old": None, "new": "Second"}}
    # The state changed nothing: what was before the first change is known.
    before = restore._state(Author, author.pk, first.pk - 1, Names(Entry.objects.all()), "default")
    assert (before.exists, before.values) == (True, {"name": "First"})


@in_one_transaction
def test_a_renamed_model_is_known_under_its_former_label() -> None:
    known = Author.objects.create(name="Known")
    with before_the_trail():
        author = Author.objects.create(name="Ada")
    with triggers.without_protection(connection):
        Entry.objects.filter(object_id=str(known.pk)).update(model_label="audit_examples.Writer")
    changes = {"": {"renamed": "audit_examples.Writer"}}
    Entry.objects.create(action="rename", model_label=Author._meta.label, changes=changes)
    assert record(Author) == 1
    assert [one.object_id for one in states(Author)] == [str(author.pk)]


@in_one_transaction
def test_parents_children_and_proxies() -> None:
    with before_the_trail():
        hotel = Hotel.objects.create(name="Ritz", beds=3)
        Restaurant.objects.create(name="Noma")
        FrontPage.objects.create(title="One")
    assert (record(Hotel), record(Restaurant), record(FrontPage)) == (3, 0, 1)
    (entry,) = states(Hotel)
    assert (entry.object_repr, entry.changes["beds"]) == ("Ritz", {"old": None, "new": 3})
    state = restore.state_after(entry)
    assert (state.exists, state.values) == (True, {"name": "Ritz", "beds": 3, "last_login": None})
    before = restore._state(
        Hotel, hotel.pk, states(Place)[0].pk, Names(Entry.objects.all()), "default"
    )
    assert (before.exists, before.values) == (None, {})


@in_one_transaction
def test_links_through_other_models_and_masked_ones(restored: None) -> None:
    register(Article, mask=["tags"])
    with before_the_trail():
        authors = [Author.objects.create(name=name) for name in "ab"]
        club = Club.objects.create(name="One")
        club.members.add(*authors)
        Membership.objects.create(club=club, author=None)
        one = Article.objects.create(title="One")
        one.tags.add(Tag.objects.create(slug="secret"))
        one.related.add(one)
        book = Book.objects.create(title="One", shelf=Shelf.objects.create(name="a"))
        BookTag.objects.create(book=book, tag=Tag.objects.get())
    record_all()
    (entry,) = states(Club)
    assert sorted(entry.changes["members"]["added"]) == [author.pk for author in authors]
    (entry,) = states(Article)
    assert entry.changes["tags"] == {"masked": True}
    assert entry.changes["related"] == {"added": [one.pk], "removed": []}
    assert states(Book)[0].changes["tags"] == {"added": ["secret"], "removed": []}
    assert "secret" not in str([entry.changes])


@in_one_transaction
def test_who_recorded_them(admin_user: Any) -> None:
    User.objects.filter(pk=admin_user.pk).update(username="o'hara 100% \\")
    admin_user.refresh_from_db()
    with before_the_trail():
        author = Author.objects.create(name="Ada")
    with acting_as(admin_user, source="job", request_id="of-a-request"):
        record(Author)
    entry = Entry.objects.of(author).get()
    assert (entry.actor_id, entry.actor_name) == (admin_user.pk, "o'hara 100% \\")
    assert (entry.source, entry.request_id) == ("job", "of-a-request")


@in_one_transaction
def test_an_object_without_a_beginning_is_never_wrong(article: Article) -> None:
    record_all()
    first = Entry.objects.of(article).get()
    article.delete()
    again: Any = Article.objects.create(pk=int(first.object_id), title="Another")
    for until, exists in ((first.pk - 1, None), (first.pk, True)):
        state = restore._state(Article, again.pk, until, Names(Entry.objects.all()), "default")
        assert state.exists is exists
    assert state.values["title"] == "First"
    # One whose entries are pruned away later is recorded once more.
    with triggers.without_protection(connection):
        Entry.objects.all().delete()
    assert record(Article) == 1


@in_one_transaction
def test_nothing_is_recorded_without_triggers() -> None:
    fault = pytest.raises(CommandError, match=r"is missing. Run `manage.py migrate")
    with before_the_trail(), fault:
        call_command("audit", "backfill", "--all")


@in_one_transaction
def test_random_writes_after_it_are_replayed_from_it() -> None:
    with before_the_trail():
        populate()
    record_all()
    assert {entry.action for entry in Entry.objects.exclude(model_label="accounts.User")} == {
        "state"
    }
    for number, name in enumerate(sorted(WRITES)):
        choice = Choices(number % 10, number * 7 % 10, number * 3 % 10, TEXTS[number % 7])
        try:
            with transaction.atomic():
                WRITES[name](choice)
        except Exception:  # noqa: BLE001, S112  a write that the database refuses
            continue
    compare()


@needs_locks
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [
        lambda one: Article.objects.filter(pk=one.pk).update(title="Second"),
        lambda one: one.tags.add(Tag.objects.create(slug="late")),
        lambda one: one.tags.clear(),
        lambda one: one.delete(),
    ],
    ids=["update", "link", "unlink", "delete"],
)
def test_a_writer_that_has_not_committed_comes_first(change: Callable[[Any], Any]) -> None:
    with before_the_trail():
        one = Article.objects.create(title="First")
        one.tags.add(Tag.objects.create(slug="a"))
        Author.objects.create(name="Ada")
    record(Tag)
    record(Author)
    written, added = Event(), list[int]()

    def write() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            change(one)
            written.set()
            wait_for_another(cursor)

    def fill() -> None:
        assert written.wait(60)
        added.append(record(Article))

    run(write, fill)
    found = Article.objects.filter(title__in=["First", "Second"])
    assert added == [found.count()]
    for entry in states(Article):
        # Nothing that was written before the entry is missing in it.
        assert entry.pk == Entry.objects.filter(model_label=Article._meta.label).latest("pk").pk
        assert entry.changes["title"]["new"] == found.get().title
        linked = {tag.pk for tag in found.get().tags.all()}
        assert set(entry.changes.get("tags", {"added": []})["added"]) == linked


@needs_locks
@pytest.mark.django_db(transaction=True)
def test_writers_all_the_time_and_two_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    with before_the_trail():
        articles = [Article.objects.create(title=str(number)) for number in range(100)]
        tag = Tag.objects.create(slug="a")
        for one in articles[::2]:
            one.tags.add(tag)
    record(Tag)

    def write(step: int) -> Callable[[], None]:
        def work() -> None:
            for number, one in enumerate(articles[step::2]):
                with transaction.atomic():
                    Article.objects.filter(pk=one.pk).update(title=f"{number} {step}")
                    (one.tags.remove if number % 3 else one.tags.add)(tag)
                if number % 10 == 9:
                    one.delete()

        return work

    def fill() -> None:
        record(Article)

    run(write(0), write(1), fill, fill)
    assert len(states(Article)) == len({entry.object_id for entry in states(Article)})
    for one in Article.objects.all():
        replayed, linked = dict[str, Any](), set[str]()
        since = False
        for entry in Entry.objects.of(one).reverse():
            since = since or entry.action == "state"
            if since and "title" in entry.changes:
                assert entry.action == "state" or entry.changes["title"]["old"] == replayed["title"]
                replayed["title"] = entry.changes["title"]["new"]
            if since and "tags" in entry.changes:
                assert linked >= set(entry.changes["tags"]["removed"])
                linked -= set(entry.changes["tags"]["removed"])
                assert not linked & set(entry.changes["tags"]["added"])
                linked |= set(entry.changes["tags"]["added"])
        assert replayed == {"title": one.title}
        assert linked == {tag.pk for tag in one.tags.all()}


@needs_locks
@pytest.mark.django_db(transaction=True)
def test_a_writer_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    with before_the_trail():
        author = Author.objects.create(name="Ada")
    written, ended = Event(), Event()

    def write() -> None:
        with transaction.atomic():
            Author.objects.filter(pk=author.pk).update(name="Bob")
            written.set()
            assert ended.wait(60)

    def fill() -> None:
        assert written.wait(60)
        try:
            with pytest.raises(BusyError, match=r"holds rows of audit_examples.Author"):
                record(Author)
        finally:
            ended.set()

    run(write, fill)
    assert record(Author) == 1


@in_one_transaction
def test_another_failure_of_the_database_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> int:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(module._Batch, "add", fail)
    with pytest.raises(OperationalError, match="the disk is full"):
        record(Author)


@in_one_transaction
def test_many_rows_with_flat_memory() -> None:
    with before_the_trail(), connection.cursor() as cursor:
        Tag.objects.create(slug="a")
        cursor.execute(
            "INSERT INTO audit_examples_article (id, title, body, status, reads, is_open,"  # noqa: S608
            " access_token) SELECT n, 'Title ' || n, 'Body ' || n, 1, n, TRUE, 'secret'"
            f" FROM ({NUMBERS[connection.vendor]}) AS numbers",
            [ROWS],
        )
        cursor.execute(
            "INSERT INTO audit_examples_article_tags (article_id, tag_id)"
            " SELECT id, 'a' FROM audit_examples_article"
        )
    record(Tag)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    assert record(Article) == ROWS
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    sys.stdout.write(f"\n{ROWS:,} rows in {seconds:.1f} s, {grown} MB more memory\n")
    assert grown < MOST_MEGABYTES
    assert record(Article) == 0


@in_one_transaction
@pytest.mark.parametrize("label", ["auth.Group", "shop.Order", "nonsense"])
def test_a_model_that_is_not_audited_is_refused(label: str) -> None:
    with pytest.raises(CommandError, match=f"{label} names no audited model"):
        call_command("audit", "backfill", label)


@in_one_transaction
def test_all_models_have_their_turn_and_none_twice(article: Article) -> None:
    call_command("audit", "backfill", "audit_examples.Article")
    call_command("audit", "backfill", "--all")
    assert [len(states(model)) for model in (Article, Author, Tag)] == [1, 1, 2]
    state = restore.state_at(Article, article.pk, states(Article)[0].created_at - DAY)
    assert {"title", "tags"} <= state.unknown


@in_one_transaction
def test_the_state_can_be_brought_back_and_is_unknown_before(article: Article) -> None:
    before = timezone.now()
    record(Article)
    entry = Entry.objects.of(article).get()
    article.title = "Second"
    article.save()
    article.tags.clear()
    state = restore.state_at(Article, article.pk, before)
    assert (state.exists, state.values, state.links) == (None, {}, {})
    with pytest.raises(restore.CannotRestoreError, match="does not know article"):
        restore.restore(state)
    restore.restore(restore.state_after(entry))
    found: Any = Article.objects.get()
    assert (found.title, {tag.pk for tag in found.tags.all()}) == ("First", {"a", "b"})
