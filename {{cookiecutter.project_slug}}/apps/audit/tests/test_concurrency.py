"""Two writers at a time: the old value on the trail is the one that was overwritten."""

from collections.abc import Callable
from threading import Barrier, Event, Thread

import pytest
from django.db import connection, transaction

from .examples.models import Article, Tag
from .trail import actions, changes

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, ROUNDS = 4, 5
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
    removed = Event()

    def first() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            article.tags.remove(tag)
            removed.set()
            for _ in range(MOST_LOOKS):
                cursor.execute(WAITING_FOR_ME)
                if cursor.fetchone():
                    return
            pytest.fail("The second writer did not wait for the first.")

    def second() -> None:
        removed.wait()
        Article.objects.get(pk=article.pk).tags.clear()

    run(first, second)
    assert len(changes(article)) == 3
