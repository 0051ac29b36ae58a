"""Two writers at a time: the old value on the trail is the one that was overwritten."""

import os
from collections.abc import Callable
from random import Random
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F

from apps.audit.bringing_back import Preview
from apps.audit.models import Entry

from ..examples.models import Article, Author, Tag
from ..trail import actions, changes
from .models import Club, Review
from .test_rebuilding import compare
from .writes import TEXTS, WRITES, Choices, populate

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, ROUNDS = 4, 5
OPERATIONS = int(os.environ.get("AUDIT_OPERATIONS", "200"))
MOST_LOOKS = 20_000
WAITING_FOR_ME = """
    SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
"""


def run(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def work(target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001  handed to the test below
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=work, args=[target]) for target in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def wait_for_another(cursor: Any) -> None:
    """Wait until another writer waits for this one."""
    for _ in range(MOST_LOOKS):
        cursor.execute(WAITING_FOR_ME)
        if cursor.fetchone():
            return
    pytest.fail("The second writer did not wait for the first.")


def run_while_held(write: Callable[[], Any], other: Callable[[], Any]) -> None:
    """Let one writer commit what it has written only when another waits for it."""
    written = Event()

    def first() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            write()
            written.set()
            wait_for_another(cursor)

    def second() -> None:
        assert written.wait(60)
        other()

    run(first, second)


@pytest.fixture(autouse=True)
def a_server() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("Needs a database that locks rows: let DATABASE_URL name PostgreSQL.")


def test_each_change_starts_where_the_one_before_ended() -> None:
    article = Article.objects.create(title="start")
    barrier = Barrier(WRITERS)

    def write(writer: int) -> None:
        copy = Article.objects.get(pk=article.pk)
        barrier.wait()
        for number in range(ROUNDS):
            copy.title = f"{writer} {number}"
            copy.save()

    run(*[lambda writer=writer: write(writer) for writer in range(WRITERS)])
    titles = [change["title"] for change in changes(article)]
    assert len(titles) == 1 + WRITERS * ROUNDS
    assert [old for old, _ in titles[1:]] == [new for _, new in titles[:-1]]
    assert titles[-1][1] == Article.objects.get().title


def test_a_state_is_not_brought_back_over_a_change_that_was_not_seen() -> None:
    author, answers = Author.objects.create(name="One"), []
    then = Entry.objects.of(author)[0]
    Author.objects.update(name="Two")
    preview = Preview(then)

    def bring_back() -> None:
        answers.append(preview.restore(str(preview.state.latest)))

    run_while_held(lambda: Author.objects.update(name="Three"), bring_back)
    text = "Nothing was changed. The object was changed in the meantime. Look again."
    assert answers == [(False, text)]
    assert Author.objects.get().name == "Three"


def test_what_two_delete_at_once_is_recorded_once() -> None:
    article = Article.objects.create(title="One")
    copies = [Article.objects.get(pk=article.pk) for _ in range(WRITERS)]
    barrier = Barrier(WRITERS)

    def delete(copy: Article) -> None:
        barrier.wait()
        copy.delete()

    run(*[lambda copy=copy: delete(copy) for copy in copies])
    assert actions(article) == ["create", "delete"]


def test_what_two_unlink_at_once_is_recorded_once() -> None:
    article = Article.objects.create(title="One")
    tag = Tag.objects.create(slug="a")
    article.tags.add(tag)
    run_while_held(
        lambda: article.tags.remove(tag),
        lambda: Article.objects.get(pk=article.pk).tags.clear(),
    )
    assert len(changes(article)) == 3


def test_what_is_added_during_an_update_is_neither_changed_nor_missed() -> None:
    old = Article.objects.create(title="old")
    found = Event()

    def add() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            Article.objects.filter(pk=old.pk).update(body="added")
            found.set()
            wait_for_another(cursor)
            Article.objects.create(title="old")

    def change() -> None:
        assert found.wait(60)
        assert Article.objects.filter(title="old").update(title="new") == 1

    run(add, change)
    assert changes(old)[1:] == [{"body": ("", "added")}, {"title": ("old", "new")}]
    (other,) = Article.objects.exclude(pk=old.pk)
    assert (other.title, actions(other)) == ("old", ["create"])


@pytest.mark.parametrize("write", ["update", "delete"])
def test_what_a_condition_no_longer_finds_is_left_alone(write: str) -> None:
    # Nothing points to reviews, so they are deleted by the condition and not by their keys.
    changed, meant = (Review.objects.create(stars=1) for _ in range(2))

    def write_to_the_others() -> None:
        reviews = Review.objects.filter(stars=1)
        assert (reviews.update(stars=3) if write == "update" else reviews.delete()[0]) == 1

    run_while_held(
        lambda: Review.objects.filter(pk=changed.pk).update(stars=2), write_to_the_others
    )
    assert actions(changed) == ["create", "update"]
    assert actions(meant) == ["create", write]


def test_a_deletion_records_what_it_has_waited_for() -> None:
    article = Article.objects.create(title="old")
    run_while_held(
        lambda: Article.objects.filter(pk=article.pk).update(title="new"),
        lambda: Article(pk=article.pk).delete(),
    )
    assert [change["title"] for change in changes(article)] == [
        (None, "old"),
        ("old", "new"),
        ("new", None),
    ]


def test_an_expression_adds_to_what_it_has_waited_for() -> None:
    article = Article.objects.create(reads=1)
    barrier = Barrier(WRITERS)

    def count() -> None:
        barrier.wait()
        for _ in range(ROUNDS):
            Article.objects.filter(pk=article.pk).update(reads=F("reads") + 1)

    run(*[count] * WRITERS)
    reads = [change["reads"] for change in changes(article)[1:]]
    assert reads == [(number, number + 1) for number in range(1, 1 + WRITERS * ROUNDS)]


def test_what_is_the_same_only_until_another_commits_is_a_change() -> None:
    article = Article.objects.create(title="old")
    run_while_held(lambda: Article.objects.filter(pk=article.pk).update(title="new"), article.save)
    assert changes(article)[1:] == [{"title": ("old", "new")}, {"title": ("new", "old")}]


def test_a_key_that_another_takes_first_is_not_overwritten_unseen() -> None:
    looked, taken = Event(), Event()

    def wait(execute: Any, sql: str, *rest: Any) -> Any:
        # The statement comes with the trail's comment in front.
        if 'INSERT INTO "audit_examples' in sql:
            looked.set()
            assert taken.wait(60)
        return execute(sql, *rest)

    @transaction.atomic
    def save() -> None:
        with connection.execute_wrapper(wait), pytest.raises(IntegrityError):
            Author(pk=5, name="second").save()

    def take() -> None:
        assert looked.wait(60)
        Author(pk=5, name="first").save()
        taken.set()

    run(save, take)
    assert changes(Author(pk=5)) == [{"name": (None, "first")}]


def test_a_link_that_comes_and_goes_while_its_object_is_deleted_comes_to_nothing() -> None:
    article, tag = Article.objects.create(), Tag.objects.create(slug="a")
    deleted, linked = Event(), Event()

    @transaction.atomic
    def delete() -> None:
        Article.objects.get(pk=article.pk).delete()
        deleted.set()
        assert linked.wait(60)

    def link_and_unlink() -> None:
        assert deleted.wait(60)
        # The database asks for the article when all is done, and by then nothing points to it.
        with transaction.atomic():
            article.tags.add(tag)
            article.tags.remove(tag)
        linked.set()

    run(delete, link_and_unlink)
    assert actions(article) == ["create", "delete", "update", "update"]
    compare(several_writers=True)


def test_a_link_that_two_writers_make_at_once_is_counted_twice() -> None:
    club, author = Club.objects.create(name="One"), Author.objects.create(name="a")
    looked = Barrier(2)

    def link() -> None:
        assert author not in club.members.all()
        looked.wait(60)
        club.members.through.objects.create(club=club, author=author)

    run(link, link)
    compare(several_writers=True)
    club.members.through.objects.all()[0].delete()
    compare(several_writers=True)


def test_many_writers_leave_a_trail_that_gives_the_tables() -> None:
    populate()
    undone: list[str] = []

    def write(writer: int) -> None:
        random = Random(writer)  # noqa: S311
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        for _ in range(OPERATIONS // WRITERS):
            name = random.choice(sorted(WRITES))
            one, two, three = (random.randrange(10) for _ in range(3))
            try:
                with transaction.atomic():
                    WRITES[name](Choices(one, two, three, random.choice(TEXTS)))
            except (DatabaseError, ObjectDoesNotExist):
                undone.append(name)

    run(*[lambda writer=writer: write(writer) for writer in range(WRITERS)])
    compare(several_writers=True)
    assert len(undone) < OPERATIONS / 2
