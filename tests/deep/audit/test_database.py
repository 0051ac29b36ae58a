"""Every write of the database is on the trail, and the trail changes no write."""

# ruff: noqa: S608 (the names of tables are those of the models)

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F, Value
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from apps.audit import registry, triggers
from apps.audit.capture import PREFIX
from apps.audit.models import Entry
from apps.audit.restore import state_after
from apps.core.actor import acting_as

from ..conftest import bring_back, remembered
from ..examples.models import Article, Author, Tag
from ..trail import actions, changes, last_change
from .models import Note
from .tables import Book, BookTag, Loan, Reading, Shelf, Stock

pytestmark = pytest.mark.django_db

POSTGRESQL = connection.vendor == "postgresql"
on_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="Only PostgreSQL has this.")
on_sqlite = pytest.mark.skipif(POSTGRESQL, reason="Only SQLite has this.")
committed = pytest.mark.django_db(transaction=True)


def execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def of(model: type[models.Model], **filters: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """List the entries of a model: what was done, to which key, and old and new values."""
    entries = Entry.objects.filter(model_label=model._meta.label, **filters).order_by("pk")
    return [
        (
            entry.action,
            entry.object_id,
            {
                name: (change["old"], change["new"]) if "old" in change else change
                for name, change in entry.changes.items()
            },
        )
        for entry in entries
    ]


def who() -> tuple[Any, str, str]:
    entry = Entry.objects.latest("pk")
    return entry.actor_id, entry.actor_name, entry.source


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


@contextmanager
def registered(model: type[models.Model], **options: Any) -> Iterator[None]:
    """Audit a model in some way for a block, with the triggers that this takes."""
    before = remembered()
    registry.register(model, **options)
    triggers.install(connection)
    try:
        yield
    finally:
        bring_back(before)
        triggers.install(connection)


# The database writes exactly what Django asked for


@pytest.fixture
def readings() -> Iterator[None]:
    """A table in which the declared key is not unique."""
    table = Reading._meta.db_table
    execute(f"CREATE TABLE {table} (device varchar(50), value integer, at integer)")
    with registered(Reading):
        for device, value, at in [("a", 1, 1), ("a", 2, 2), ("b", 1, 1)]:
            Reading.objects.create(device=device, value=value, at=at)
        yield


def test_only_the_rows_of_the_filter_are_changed(readings: None) -> None:
    assert Reading.objects.filter(device="a", at=2).update(value=9) == 1
    assert sorted(Reading.objects.values_list("device", "value", "at")) == [
        ("a", 1, 1),
        ("a", 9, 2),
        ("b", 1, 1),
    ]
    assert of(Reading, action="update") == [("update", "a", {"value": (2, 9)})]
    assert Reading.objects.filter(device="a").update(value=F("value") + 1) == 2
    changed = [change["value"] for _, _, change in of(Reading, action="update")[1:]]
    assert sorted(changed) == [(1, 2), (9, 10)]


def test_only_the_rows_of_the_filter_are_deleted(readings: None) -> None:
    assert Reading.objects.filter(device="a", value=2).delete()[0] == 1
    assert sorted(Reading.objects.values_list("device", "value")) == [("a", 1), ("b", 1)]
    assert of(Reading, action="delete") == [("delete", "a", {"value": (2, None), "at": (2, None)})]


WRITERS, ROUNDS = 3, 150


@on_sqlite
@committed
@pytest.mark.parametrize("in_a_transaction", [False, True])
def test_writers_wait_for_each_other_as_they_would_without_a_trail(
    in_a_transaction: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Django's default transactions, which take the lock with their first write."""
    row = Stock.objects.create(code="a")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"timeout": 3600})
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(ROUNDS):
                if in_a_transaction:
                    with transaction.atomic():
                        Stock.objects.filter(pk=row.pk).update(count=F("count") + 1)
                else:
                    Stock.objects.filter(pk=row.pk).update(count=F("count") + 1)
        except DatabaseError as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=write) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    counted = [change["count"] for change in changes(row)[1:]]
    assert counted == [(number, number + 1) for number in range(WRITERS * ROUNDS)]


def prepared() -> tuple[Author, Article, Tag]:
    author = Author.objects.create(name="Ada")
    article = Article.objects.create(title="Old", author=author)
    tag = Tag.objects.create(slug="a")
    article.tags.add(tag)
    Tag.objects.create(slug="unused")
    return author, article, tag


WRITES: dict[str, Callable[[Author, Article, Tag], object]] = {
    "create": lambda author, article, tag: Author.objects.create(name="Bob"),
    "save": lambda author, article, tag: Author(pk=author.pk, name="Bob").save(),
    "save unchanged": lambda author, article, tag: author.save(),
    "save an expression": lambda author, article, tag: Article(
        pk=article.pk, reads=F("reads") + 1
    ).save(),
    "save a new key": lambda author, article, tag: Author(pk=author.pk + 5, name="B").save(),
    "delete": lambda author, article, tag: author.delete(),
    "update": lambda author, article, tag: Article.objects.update(title=Value("New")),
    "update a key": lambda author, article, tag: Tag.objects.filter(articles=None).update(slug="z"),
    "bulk_create": lambda author, article, tag: Author.objects.bulk_create([Author(name="B")] * 9),
    "upsert": lambda author, article, tag: Author.objects.bulk_create(
        [Author(pk=author.pk, name="C")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["id"],
    ),
    "ignored conflict": lambda author, article, tag: Tag.objects.bulk_create(
        [Tag(slug="a"), Tag(slug="b")], ignore_conflicts=True
    ),
    "bulk_update": lambda author, article, tag: Author.objects.bulk_update([author], ["name"]),
    "delete many": lambda author, article, tag: Article.objects.filter(title="Old").delete(),
    "add a link": lambda author, article, tag: article.related.add(article),
    "remove a link": lambda author, article, tag: article.tags.remove(tag),
    "clear links": lambda author, article, tag: tag.articles.clear(),
    "set links": lambda author, article, tag: article.tags.set([]),
    "get_or_create": lambda author, article, tag: Tag.objects.get_or_create(slug="c"),
    "update_or_create": lambda author, article, tag: Tag.objects.update_or_create(slug="a"),
    "raw": lambda author, article, tag: execute("DELETE FROM audit_examples_note"),
}
AUTHOR = Author._meta.db_table
TAG = Tag._meta.db_table
COMMENT = re.compile(r"\s*/\*audit [^*]*\*/\s*")


def statements_of(write: Callable[..., object], ada: Any) -> list[str]:
    """Return what is sent to the database by a write, which is then undone."""
    with transaction.atomic():
        objects = prepared()
        with acting_as(ada), CaptureQueriesContext(connection) as captured:
            write(*objects)
        transaction.set_rollback(True)
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("name", WRITES)
def test_no_write_takes_a_statement_more_or_another_one(name: str, ada: Any) -> None:
    def as_sent(statements: list[str]) -> list[str]:
        # Keys grow, also those of what was undone; so do the names of savepoints.
        return [re.sub(r"\d+", "0", COMMENT.sub("", sql)) for sql in statements]

    with_trail = statements_of(WRITES[name], ada)
    triggers.Triggers(connection).drop()
    before = Entry.objects.count()
    without = statements_of(WRITES[name], ada)
    assert Entry.objects.count() == before
    assert as_sent(with_trail) == as_sent(without)
    if not POSTGRESQL:
        assert not COMMENT.search("".join(with_trail))


@pytest.mark.parametrize("name", WRITES)
def test_no_object_is_asked_what_it_is_called(
    name: str, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def walk(self: Any) -> str:
        raise AssertionError("It would be asked for by a query or two.")

    for model in (Author, Article, Tag, Note, type(ada)):
        monkeypatch.setattr(model, "__str__", walk)
    objects = prepared()
    with acting_as(ada):
        WRITES[name](*objects)


# Raw SQL

RAW: dict[str, tuple[str, list[tuple[str, str, dict[str, Any]]]]] = {
    "insert": (
        "insert into audit_examples_stock (id, code, count, pin) values (7, 'b', 1, '')",
        [("create", "7", {"code": (None, "b"), "count": (None, 1), "pin": {"masked": True}})],
    ),
    "insert from a query": (
        "INSERT INTO audit_examples_stock (id, code, count, pin)"
        " SELECT id + 10, code || 'x', count, pin FROM audit_examples_stock",
        [("create", "11", {"code": (None, "ax"), "count": (None, 0), "pin": {"masked": True}})],
    ),
    "update": (
        "update audit_examples_stock set count = count + 1 where code = 'a'",
        [("update", "1", {"count": (0, 1)})],
    ),
    "update of nothing": ("update audit_examples_stock set count = count", []),
    "update of a secret": (
        "UPDATE audit_examples_stock SET pin = 'hunter'",
        [("update", "1", {"pin": {"masked": True}})],
    ),
    "update of a key": (
        "UPDATE audit_examples_stock SET id = 5, count = 2",
        [
            ("delete", "1", {"code": ("a", None), "count": (0, None), "pin": {"masked": True}}),
            ("create", "5", {"code": (None, "a"), "count": (None, 2), "pin": {"masked": True}}),
        ],
    ),
    "delete": (
        "\n  -- all of it\n  delete from audit_examples_stock -- now",
        [("delete", "1", {"code": ("a", None), "count": (0, None), "pin": {"masked": True}})],
    ),
    "upsert": (
        "INSERT INTO audit_examples_stock (id, code, count, pin) VALUES (8, 'a', 5, ''),"
        " (9, 'c', 5, '') ON CONFLICT (code) DO UPDATE SET count = excluded.count",
        [
            ("create", "9", {"code": (None, "c"), "count": (None, 5), "pin": {"masked": True}}),
            ("update", "1", {"count": (0, 5)}),
        ],
    ),
    "ignored conflict": (
        "INSERT INTO audit_examples_stock (id, code, count, pin) VALUES (8, 'a', 5, '')"
        " ON CONFLICT DO NOTHING",
        [],
    ),
    "with a query in front": (
        "WITH new AS (SELECT 4 AS n) UPDATE audit_examples_stock SET count = (SELECT n FROM new)",
        [("update", "1", {"count": (0, 4)})],
    ),
    "quoted and with a comment in front": (
        '/* mine */ UPDATE "audit_examples_stock" SET count = 3;',
        [("update", "1", {"count": (0, 3)})],
    ),
    "from another table": (
        "UPDATE audit_examples_stock SET count = other.n FROM (SELECT 6 AS n) AS other",
        [("update", "1", {"count": (0, 6)})],
    ),
    "returning": (
        "UPDATE audit_examples_stock SET count = 2 RETURNING id",
        [("update", "1", {"count": (0, 2)})],
    ),
}
RAW_ON_SQLITE: dict[str, tuple[str, list[tuple[str, str, dict[str, Any]]]]] = {
    f"replaced {kind}": (
        f"{sql} audit_examples_stock (id, code, count, pin) VALUES (8, 'a', 5, '')",
        [
            ("delete", "1", {"code": ("a", None), "count": (0, None), "pin": {"masked": True}}),
            ("create", "8", {"code": (None, "a"), "count": (None, 5), "pin": {"masked": True}}),
        ],
    )
    for kind, sql in {
        "by an insertion": "INSERT OR REPLACE INTO",
        "at once": "replace into",
        "behind a comment": "/* mine */ REPLACE INTO",
        "behind a line": "-- mine\nREPLACE INTO",
        "behind a query": "WITH x AS (SELECT 1) INSERT OR REPLACE INTO",
        "at once behind a query": "with x as (select 1) replace into",
    }.items()
}
RAW_ON_SQLITE["replaced by an update"] = (
    "UPDATE OR REPLACE audit_examples_stock SET code = 'a' WHERE code = 'z'",
    [
        ("delete", "1", {"code": ("a", None), "count": (0, None), "pin": {"masked": True}}),
        ("update", "2", {"code": ("z", "a")}),
    ],
)
RAW_ON_POSTGRESQL: dict[str, tuple[str, list[tuple[str, str, dict[str, Any]]]]] = {
    "inside a query": (
        "WITH changed AS (UPDATE audit_examples_stock SET count = 4 RETURNING id)"
        " SELECT * FROM changed",
        [("update", "1", {"count": (0, 4)})],
    ),
    "merge": (
        "MERGE INTO audit_examples_stock AS s USING (VALUES ('a', 3), ('c', 4)) AS n (code, count)"
        " ON s.code = n.code WHEN MATCHED THEN UPDATE SET count = n.count"
        " WHEN NOT MATCHED THEN INSERT (id, code, count, pin) VALUES (9, n.code, n.count, '')",
        [
            ("create", "9", {"code": (None, "c"), "count": (None, 4), "pin": {"masked": True}}),
            ("update", "1", {"count": (0, 3)}),
        ],
    ),
    "truncate": (
        "TRUNCATE audit_examples_stock",
        [("delete", "1", {"code": ("a", None), "count": (0, None), "pin": {"masked": True}})],
    ),
    "in a block of code": (
        "DO $$ BEGIN UPDATE audit_examples_stock SET count = 8; END $$",
        [("update", "1", {"count": (0, 8)})],
    ),
}


def params(cases: dict[str, Any], *marks: Any) -> list[Any]:
    return [pytest.param(*case, id=name, marks=marks) for name, case in cases.items()]


@pytest.mark.parametrize(
    ("sql", "entries"),
    [
        *params(RAW),
        *params(RAW_ON_SQLITE, on_sqlite),
        *params(RAW_ON_POSTGRESQL, on_postgresql),
    ],
)
def test_raw_sql(sql: str, entries: list[Any], ada: Any) -> None:
    Stock.objects.create(pk=1, code="a")
    if "'z'" in sql:
        Stock.objects.create(pk=2, code="z")
    before = len(of(Stock))
    with acting_as(ada):
        execute(sql)
    assert sorted(of(Stock)[before:]) == sorted(entries)
    if entries:
        assert who() == (ada.pk, "ada", "command")
        assert "hunter" not in str(list(Entry.objects.values()))


COPY = f"COPY {AUTHOR} (id, name) FROM STDIN"
FORGED = "/*audit {}|request|x*/"


@on_postgresql
def test_a_copy_is_recorded(ada: Any) -> None:
    with acting_as(ada), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write_row((1, FORGED.format(ada.pk)))
        copy.write_row((2, "B"))
    assert [(action, key) for action, key, _ in of(Author)] == [("create", "1"), ("create", "2")]
    # Django does not see it.
    assert who()[0] is None
    assert who()[2] == "database"


@on_sqlite
def test_a_script_of_many_statements(ada: Any) -> None:
    with acting_as(ada), connection.cursor() as cursor:
        raw: Any = cursor
        raw.executemany(f"INSERT INTO {AUTHOR} (id, name) VALUES (%s, %s)", [(1, "A"), (2, "B")])
    assert [(action, key) for action, key, _ in of(Author)] == [("create", "1"), ("create", "2")]
    assert who() == (ada.pk, "ada", "command")


@on_postgresql
@pytest.mark.parametrize("first", ["SELECT 1", "SET LOCAL jit = off", "select 1; /* ; */", "\n"])
def test_a_script_that_begins_with_what_writes_nothing(first: str, ada: Any) -> None:
    with acting_as(ada), connection.cursor() as cursor:
        cursor.execute(f"{first};\nINSERT INTO {AUTHOR} (name) VALUES ('A'); ")
    assert who() == (ada.pk, "ada", "command")


@on_postgresql
@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_statement_that_is_no_text(as_bytes: bool, ada: Any) -> None:
    """psycopg takes bytes and statements that it puts together itself."""
    from psycopg import sql

    text = "INSERT INTO {} (name) VALUES ({})"
    composed = sql.SQL(text).format(sql.Identifier(AUTHOR), sql.Literal("100% Zoë"))
    statement: Any = composed.as_bytes(None) if as_bytes else composed
    with acting_as(ada), connection.cursor() as cursor:
        cursor.execute(statement)
    assert who() == (ada.pk, "ada", "command")
    assert Author.objects.get().name == "100% Zoë"


@on_postgresql
def test_a_percent_sign_without_parameters(ada: Any) -> None:
    with acting_as(ada), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {AUTHOR} (name) VALUES ('100%s %')")
    assert Author.objects.get().name == "100%s %"
    assert who() == (ada.pk, "ada", "command")


@on_postgresql
def test_writes_of_a_function_that_a_query_calls(ada: Any) -> None:
    execute(
        "CREATE FUNCTION audit_examples_add() RETURNS void LANGUAGE sql AS"
        f" $$ INSERT INTO {AUTHOR} (name) VALUES ('Ada') $$"
    )
    with acting_as(ada):
        execute("SELECT audit_examples_add()")
    # Nothing tells a query that writes from one that reads.
    assert who()[::2] == (None, "database")


@pytest.mark.parametrize("by", ["the ORM", "SQL"])
def test_writes_of_a_trigger_of_another_table(by: str, ada: Any) -> None:
    """Who wrote to that table wrote this row, where the statement may have said so."""
    execute("CREATE TABLE audit_examples_plain (id integer PRIMARY KEY, name varchar(50))")
    insert = f"INSERT INTO {AUTHOR} (name) VALUES (NEW.name);"
    if POSTGRESQL:
        execute(
            "CREATE FUNCTION audit_examples_follow() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {insert} RETURN NEW; END $$"
        )
        execute(
            "CREATE TRIGGER follow AFTER INSERT ON audit_examples_plain FOR EACH ROW"
            " EXECUTE FUNCTION audit_examples_follow()"
        )
    else:
        execute(f"CREATE TRIGGER follow AFTER INSERT ON audit_examples_plain BEGIN {insert} END")
    # As the ORM writes it to a table that is not audited.
    quoted = '"audit_examples_plain" ("id", "name")' if by == "the ORM" else "audit_examples_plain"
    with acting_as(ada):
        execute(f"INSERT INTO {quoted} VALUES (1, %s)", "Ada")
    assert of(Author) == [("create", str(Author.objects.get().pk), {"name": (None, "Ada")})]
    if POSTGRESQL and by == "the ORM":
        assert who()[::2] == (None, "database")
    else:
        assert who() == (ada.pk, "ada", "command")


# Work that Django leaves to the database


def test_rows_that_the_database_takes_along(ada: Any) -> None:
    shelf = Shelf.objects.create(name="A")
    book, other = (Book.objects.create(title=title, shelf=shelf) for title in "ab")
    tag = Tag.objects.create(slug="t")
    book.tags.add(tag)
    loan, key = Loan.objects.create(book=book), shelf.pk
    with acting_as(ada):
        shelf.delete()
    assert not Book.objects.exists()
    assert not BookTag.objects.exists()
    assert actions(Shelf(pk=key)) == ["create", "delete"]
    assert actions(Book(pk=other.pk)) == ["create", "delete"]
    # PostgreSQL tells of what went along after what it went along with.
    last = [
        ("update", {"tags": {"added": [], "removed": ["t"]}}),
        ("delete", {"title": ("a", None), "shelf": (key, None)}),
    ]
    expected = last[::-1] if POSTGRESQL else last
    gone = Book(pk=book.pk)
    assert [*zip(actions(gone), changes(gone), strict=True)][2:] == expected
    deleted = Entry.objects.of(gone).get(action="delete")
    assert not state_after(deleted).exists
    assert state_after(Entry.objects.of(gone).filter(pk__lt=deleted.pk)[1 - POSTGRESQL]).links == {
        "tags": {"t"}
    }
    assert last_change(loan) == {"book": (book.pk, None)}
    for entry in Entry.objects.filter(action="delete"):
        assert (entry.actor_id, entry.actor_name) == (ada.pk, "ada")


def test_links_that_the_database_takes_along_with_their_target() -> None:
    book, tag = Book.objects.create(title="a"), Tag.objects.create(slug="t")
    book.tags.add(tag)
    tag.delete()
    assert last_change(book) == {"tags": {"added": [], "removed": ["t"]}}


def test_an_upsert() -> None:
    Stock.objects.create(pk=1, code="a", pin="hunter1")
    Stock.objects.bulk_create(
        [Stock(code="a", count=3, pin="hunter2"), Stock(pk=9, code="b")],
        update_conflicts=True,
        update_fields=["count", "pin"],
        unique_fields=["code"],
    )
    assert sorted(of(Stock)[1:]) == [
        ("create", "9", {"code": (None, "b"), "count": (None, 0), "pin": {"masked": True}}),
        ("update", "1", {"count": (0, 3), "pin": {"masked": True}}),
    ]


def test_an_upsert_that_changes_nothing() -> None:
    Stock.objects.create(pk=1, code="a", count=3)
    Stock.objects.bulk_create(
        [Stock(code="a", count=3)],
        update_conflicts=True,
        update_fields=["count"],
        unique_fields=["code"],
    )
    assert len(of(Stock)) == 1


def test_conflicts_that_are_ignored() -> None:
    Tag.objects.create(slug="a")
    Tag.objects.bulk_create([Tag(slug="a"), Tag(slug="b")], ignore_conflicts=True)
    assert of(Tag) == [("create", "a", {}), ("create", "b", {})]


@pytest.mark.parametrize("model", [Tag, Author, Note])
def test_another_key_is_another_object(model: Any) -> None:
    from uuid import UUID

    one, other = {
        Tag: ("a", "b"),
        Author: (1, 2),
        Note: (UUID(int=1), UUID(int=2)),
    }[model]
    more = {"article": Article.objects.create()} if model is Note else {}
    model.objects.create(pk=one, **more)
    assert model.objects.filter(pk=one).update(**{model._meta.pk.name: other}) == 1
    assert [(action, key) for action, key, _ in of(model)] == [
        ("create", registry.object_key(model, one)),
        ("delete", registry.object_key(model, one)),
        ("create", registry.object_key(model, other)),
    ]
    assert actions(model(pk=other)) == ["create"]
    assert actions(model(pk=one)) == ["create", "delete"]


def test_keys_that_move_up_are_recorded_in_an_order_that_can_be_replayed() -> None:
    for key in (3, 2, 1):
        Author.objects.create(pk=key, name=f"was {key}")
    # From the highest down, as the rows lie, so that no two have the same key meanwhile.
    with suppress(DatabaseError), transaction.atomic():
        Author.objects.update(id=F("id") + 1)
    alive: set[str] = set()
    for action, name, _ in of(Author):
        if action == "create":
            assert name not in alive
            alive.add(name)
        else:
            alive.remove(name)
    assert alive == {str(key) for key in Author.objects.values_list("pk", flat=True)}


# Triggers of the owner's own


def write_own_row(name: str, event: str) -> None:
    """Add a trigger that, after each row is written, writes to the same row once more."""
    table = Stock._meta.db_table
    update = f"UPDATE {table} SET count = count + 100 WHERE id = NEW.id"
    if not POSTGRESQL:
        execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {update}; END")
        return
    execute(
        "CREATE FUNCTION audit_examples_own() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {update}; RETURN NULL; END $$"
    )
    execute(
        f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW"
        " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION audit_examples_own()"
    )


@pytest.mark.parametrize("event", ["INSERT", "UPDATE"])
@pytest.mark.parametrize("name", ["aa_first", "zz_last"])
def test_a_trigger_that_writes_its_own_row_does_so_once(name: str, event: str, ada: Any) -> None:
    write_own_row(name, event)
    with acting_as(ada):
        stock = Stock.objects.create(code="a")
        Stock.objects.filter(pk=stock.pk).update(count=F("count") + 1)
    stock.refresh_from_db()
    assert stock.count == 101
    assert sorted(actions(stock)) == ["create", "update", "update"]
    assert who() == (ada.pk, "ada", "command")


# PostgreSQL tells of new rows when all that their own triggers do has been done.
@pytest.mark.parametrize("event", ["UPDATE"] if POSTGRESQL else ["INSERT", "UPDATE"])
@pytest.mark.parametrize("name", ["aa_first", "zz_last"])
def test_a_trigger_that_writes_its_own_row_is_recorded_after_the_write(
    name: str, event: str
) -> None:
    """With a trigger that was there when those of the trail were last put right."""
    write_own_row(name, event)
    triggers.Triggers(connection).drop()
    triggers.install(connection)
    stock = Stock.objects.create(code="a")
    Stock.objects.filter(pk=stock.pk).update(count=F("count") + 1)
    counts = [change["count"] for change in changes(stock)]
    assert counts[0][0] is None
    assert [old for old, _ in counts[1:]] == [new for _, new in counts[:-1]]
    assert counts[-1][1] == 101


@on_sqlite
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("code", "x'00ff'"),
        ("code", "'a' || char(0) || 'b'"),
        ("code", "9e999"),
        ("count", "'many'"),
        ("count", "1.5"),
        ("count", "x'01'"),
        ("count", "-9e999"),
        ("count", "9223372036854775807"),
    ],
)
def test_whatever_sqlite_lets_a_column_hold_can_be_written(column: str, value: str) -> None:
    Stock.objects.create(pk=1, code="a")
    execute(f"UPDATE audit_examples_stock SET {column} = {value}")
    (entry,) = Entry.objects.filter(model_label=Stock._meta.label, action="update")
    assert list(entry.changes) == [column]
    assert entry.changes[column]["new"] is not None
    execute("DELETE FROM audit_examples_stock")
    assert actions(Stock(pk=1)) == ["create", "update", "delete"]


# Who acts


@pytest.fixture(params=["client", "server"])
def binding(request: pytest.FixtureRequest) -> Iterator[None]:
    """Values in the statement, and values beside it."""
    if request.param == "client" or not POSTGRESQL:
        if request.param == "server":
            pytest.skip("SQLite has values beside the statement anyway.")
        yield
        return
    connection.close()
    options = dict(connection.settings_dict["OPTIONS"])
    connection.settings_dict["OPTIONS"] = options | {"server_side_binding": True}
    yield
    connection.close()
    connection.settings_dict["OPTIONS"] = options


@committed
def test_a_value_that_looks_like_an_actor_is_none(binding: None, ada: Any) -> None:
    forged = FORGED.format(ada.pk)
    table = Stock._meta.db_table
    writes: list[Callable[[], object]] = [
        lambda: Stock.objects.create(code=forged, pin=forged),
        lambda: Stock.objects.filter(code=forged).update(count=1),
        lambda: Stock.objects.filter(code=forged).delete(),
        lambda: execute(f"INSERT INTO {table} (code, count, pin) VALUES ('a', 1, %s)", forged),
        lambda: execute(f"UPDATE {table} SET count = 2 WHERE pin = %s", forged),
        lambda: execute(f"UPDATE {table} SET count = 3 WHERE pin = '{forged}'"),
        lambda: execute(f"UPDATE {table} SET count = 4 --{forged}"),
        lambda: execute(f"UPDATE {table} SET count = 5{forged}"),
        lambda: execute(f"{forged} UPDATE {table} SET count = 6"),
        lambda: execute(f"\n{forged}{forged} UPDATE {table} SET count = 7"),
        lambda: execute(f"DELETE FROM {table} WHERE pin = %s;", forged),
        lambda: Stock.objects.bulk_create([Stock(code="c", pin=forged)]),
    ]
    for number, write in enumerate(writes, 1):
        write()
        entries = Entry.objects.filter(model_label=Stock._meta.label)
        assert len(entries) == number
        assert who() == (None, "", "command"), f"write {number}"
        assert Entry.objects.latest("pk").request_id == ""


@pytest.mark.parametrize(
    "comment", ["/* route */", "/* a /b *//*** c ***/\n ", "/*audited*/", "/* \\ ' é */"]
)
def test_a_comment_that_others_put_in_front_hides_no_actor(comment: str, ada: Any) -> None:
    """As programs do that watch databases."""

    def put_in_front(execute: Any, sql: str, *arguments: Any) -> Any:
        return execute(f"{comment}{sql}", *arguments)

    forged = FORGED.format(ada.pk)
    with connection.execute_wrapper(put_in_front):
        with acting_as(ada, request_id="x"):
            stocks = Stock.objects.bulk_create([Stock(code=code) for code in "ab"])
            Stock.objects.update(count=F("count") + 1)
            stocks[0].delete()
        entries = Entry.objects.filter(model_label=Stock._meta.label)
        told = entries.values_list("actor_id", "actor_name", "source", "request_id")
        assert [*told] == [(ada.pk, "ada", "command", "x")] * 5
        Stock.objects.update(code=forged)
        assert who() == (None, "", "command")
    if POSTGRESQL:
        # A statement that the project does not run has no comment of the trail.
        with connection.connection.cursor() as cursor:
            cursor.execute(f"{comment}UPDATE {Stock._meta.db_table} SET pin = '{forged}'")
        assert who() == (None, "postgres", "database")


@committed
def test_a_request_id_that_looks_like_an_actor_is_none(ada: Any) -> None:
    for name in (FORGED.format(ada.pk), "*/ /*audit 1|request|x", "%s %(a)s %%", "a|b|c*/", "é"):
        with acting_as(None, source="job", request_id=name):
            Author.objects.create(name="A")
        assert who() == (None, "", "job")


def outside() -> Any:
    """Connect to PostgreSQL without Django."""
    import psycopg

    database: Any = connection
    parameters = database.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    return psycopg.connect(
        **{name: parameters[name] for name in names if name in parameters}, autocommit=True
    )


def execute_outside(sql: str) -> None:
    """Run a statement without Django, which would put triggers right after some."""
    if not POSTGRESQL:
        execute(sql)
        return
    with outside() as connected:
        connected.execute(sql)


@on_postgresql
@committed
def test_a_write_from_outside_is_that_of_the_database_s_user(ada: Any) -> None:
    with acting_as(ada, source="request"):
        Author.objects.create(name="A")
        with outside() as connected:
            connected.execute(f"INSERT INTO {AUTHOR} (name) VALUES (%s)", ["B"])
            connected.execute(f"UPDATE {AUTHOR} SET name = %s", ["C"], prepare=True)
            connected.execute(f"DELETE FROM {AUTHOR} WHERE name = 'C'; SELECT 1")
            with connected.cursor().copy(f"COPY {AUTHOR} (name) FROM STDIN") as copy:
                copy.write_row(("D",))
            user = connected.info.user
    entries = Entry.objects.filter(model_label=Author._meta.label).order_by("pk")[1:]
    assert len(entries) == 6
    for entry in entries:
        assert (entry.actor_id, entry.actor_name, entry.source) == (None, user, "database")
        assert entry.request_id == ""


@on_postgresql
def test_a_process_of_the_server_has_no_query(ada: Any) -> None:
    """In pg_cron, for example, ``current_query()`` is NULL: each write is recorded once."""
    author, last = Author.objects.create(name="A"), Entry.objects.latest("pk").pk
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_functiondef(tgfoid) FROM pg_trigger WHERE tgrelid = %s::regclass"
            " AND starts_with(tgname, %s)",
            [AUTHOR, PREFIX],
        )
        for (definition,) in cursor.fetchall():
            assert "current_query()" in definition
            cursor.execute(definition.replace("current_query()", "NULL::text"))
        with acting_as(ada):
            cursor.execute(f"UPDATE {AUTHOR} SET name = 'B'")
            cursor.execute(f"INSERT INTO {AUTHOR} (name) VALUES ('C')")
            cursor.execute(f"DELETE FROM {AUTHOR} WHERE name = 'C'")
        cursor.execute("SELECT session_user::text")
        told: Any = (None, cursor.fetchone()[0], "database", "")
    entries = Entry.objects.filter(pk__gt=last).order_by("pk")
    assert list(entries.values_list("action", flat=True)) == ["update", "create", "delete"]
    assert entries[0].object_id == str(author.pk)
    named = entries.values_list("actor_id", "actor_name", "source", "request_id")
    assert [*named] == [told] * 3


@on_postgresql
@committed
@pytest.mark.parametrize("beginning", ["/*audit ", "/*audit+"])
def test_one_row_and_many_are_recorded_alike(ada: Any, beginning: str) -> None:
    """The front of a statement only says which of two triggers records an UPDATE."""
    one, other = (Author.objects.create(name=name) for name in "AB")
    last = Entry.objects.latest("pk").pk
    with outside() as connected:
        for assignment in ("name = name || '!'", "name = name", "id = id + 1000"):
            connected.execute(f"{beginning}{ada.pk}|job|x*/ UPDATE {AUTHOR} SET {assignment}")
    recorded = [
        (entry.action, entry.object_id, entry.object_repr, entry.actor_name, entry.source)
        for entry in Entry.objects.filter(pk__gt=last)
    ]
    told = ada.get_username(), "job"
    assert sorted(recorded) == sorted(
        (action, str(author.pk + moved), f"{author.name}!", *told)
        for author in (one, other)
        for action, moved in (("update", 0), ("delete", 0), ("create", 1000))
    )


@on_postgresql
@committed
def test_the_front_of_a_statement_says_whether_it_may_write_many_rows() -> None:
    author, seen = Author.objects.create(name="A"), list[str]()
    article, tags = Article.objects.create(title="A"), [Tag.objects.create(slug=s) for s in "abc"]

    def look(execute: Any, sql: Any, *arguments: Any) -> Any:
        seen.extend(re.findall(r"^/\*audit.", sql))
        return execute(sql, *arguments)

    with connection.execute_wrapper(look):
        author.save()
        Author.objects.filter(name="A").update(name="B")
        Author.objects.bulk_update([author], ["name"])
        execute(f"UPDATE {AUTHOR} SET name = 'C'")
        Author.objects.create(name="D")
        article.tags.add(tags[0])
        article.tags.add(*tags[1:])
        execute(f"INSERT INTO {AUTHOR} (name) SELECT name FROM {AUTHOR}")
    one, many = "/*audit ", "/*audit+"
    assert seen == [one, many, many, many, one, one, many, many]


@on_sqlite
@committed
def test_a_write_from_outside_is_refused() -> None:
    author = Author.objects.create(name="A")
    connected = sqlite3.connect(connection.settings_dict["NAME"])
    try:
        for sql in (
            f"INSERT INTO {AUTHOR} (name) VALUES ('B')",
            f"UPDATE {AUTHOR} SET name = 'B'",
            f"DELETE FROM {AUTHOR}",
            f"REPLACE INTO {AUTHOR} (id, name) VALUES ({author.pk}, 'B')",
        ):
            with pytest.raises(sqlite3.OperationalError, match="no such function: _audit_trail"):
                connected.execute(sql)
            connected.rollback()
        assert connected.execute(f"SELECT name FROM {AUTHOR}").fetchall() == [("A",)]
    finally:
        connected.close()
    assert actions(author) == ["create"]


@committed
def test_a_write_after_a_request_is_not_that_of_its_user(ada: Any) -> None:
    """Neither by the ORM nor by SQL nor after what has failed, on the same connection."""
    with acting_as(ada, source="request", request_id="one"):
        Author.objects.create(name="A")
        with suppress(DatabaseError):
            Author.objects.create(name=None)
    assert who() == (ada.pk, "ada", "request")
    for write in (
        lambda: Author.objects.create(name="B"),
        lambda: execute(f"UPDATE {AUTHOR} SET name = 'C'"),
        lambda: Author.objects.all().delete(),
    ):
        write()
        assert who() == (None, "", "command")
        assert Entry.objects.latest("pk").request_id == ""


@pytest.mark.parametrize("by", ["the ORM", "a bulk deletion", "SQL"])
def test_who_deletes_their_own_account_keeps_their_name(
    by: str, ada: Any, django_user_model: Any
) -> None:
    key = ada.pk
    django_user_model.objects.create_user("bob")
    with acting_as(ada):
        match by:
            case "the ORM":
                ada.delete()
            case "a bulk deletion":
                django_user_model.objects.all().delete()
            case _:
                for relation in ada._meta.get_fields(include_hidden=True):
                    points_here = relation.one_to_many or relation.one_to_one
                    if points_here and relation.related_model is not Entry:
                        rows: Any = relation.related_model
                        rows._base_manager.filter(**{relation.field.name: key}).delete()
                execute(f"DELETE FROM {django_user_model._meta.db_table} WHERE id = %s", key)
        ada.pk = key
        entry = Entry.objects.filter(model_label="accounts.User", object_id=str(key)).latest("pk")
        assert (entry.action, entry.actor_id, entry.actor_name) == ("delete", key, "ada")
        assert entry.object_repr == "ada"
        # A deleted user who still acts is known by the former name.
        Author.objects.create(name="A")
        assert who()[:2] == (key, "ada")


def test_a_masked_name_is_on_no_entry() -> None:
    with registered(Author, mask=["name"]):
        author = Author.objects.create(name="hunter")
        Author.objects.update(name="hunter2")
        article = Article.objects.create(title="A", author=author)
        author.delete()
        del article
    entries = Entry.objects.filter(model_label=Author._meta.label)
    assert [entry.object_repr for entry in entries] == ["", "", ""]
    assert "hunter" not in str(list(Entry.objects.values()))


@pytest.mark.parametrize("lazily", [False, True])
def test_a_masked_username_is_on_no_entry(django_user_model: Any, lazily: bool) -> None:
    with registered(django_user_model, mask=["username", "email"]):
        user = django_user_model.objects.create_user("hunter", "hunter@example.com")
        # The user of a request is loaded when it is asked for.
        actor: Any = SimpleLazyObject(lambda: user) if lazily else user
        with acting_as(actor, source="request"):
            Author.objects.create(name="A")
            assert who() == (user.pk, "", "request")
            key = user.pk
            user.delete()
            user.pk = key
            Author.objects.create(name="B")
            assert who()[:2] == (key, "")
    assert "hunter" not in str(list(Entry.objects.values()))


# Triggers that are missing or are not what they should be


def test_nothing_is_missing() -> None:
    assert triggers.faults(connection) == []


def a_trigger() -> str:
    """Return the name of a trigger on a table of examples."""
    names: list[str] = [name for name in triggers.Triggers(connection).found if "delete" in name]
    (name,) = [name for name in names if name.endswith("audit_examples_author")]
    return name


BREAKS: dict[str, Callable[[str], list[str]]] = {
    "dropped": lambda name: [
        f"DROP TRIGGER {name}" + (f" ON {AUTHOR}" if POSTGRESQL else ""),
    ],
}
BREAKS_OF_SQLITE: dict[str, Callable[[str], list[str]]] = {
    "another body": lambda name: [
        f"DROP TRIGGER {name}",
        f"CREATE TRIGGER {name} AFTER DELETE ON {AUTHOR} BEGIN SELECT 1; END",
    ],
    "on another table": lambda name: [
        f"DROP TRIGGER {name}",
        f"CREATE TRIGGER {name} AFTER DELETE ON {TAG} BEGIN SELECT 1; END",
    ],
    "of another event": lambda name: [
        f"DROP TRIGGER {name}",
        f"CREATE TRIGGER {name} AFTER INSERT ON {AUTHOR} BEGIN SELECT 1; END",
    ],
}
EMPTY = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
BREAKS_OF_POSTGRESQL: dict[str, Callable[[str], list[str]]] = {
    "switched off": lambda name: [f"ALTER TABLE {AUTHOR} DISABLE TRIGGER {name}"],
    "all switched off": lambda name: [f"ALTER TABLE {AUTHOR} DISABLE TRIGGER ALL"],
    "for replicas alone": lambda name: [f"ALTER TABLE {AUTHOR} ENABLE REPLICA TRIGGER {name}"],
    "another body": lambda name: [f"CREATE OR REPLACE FUNCTION {name}() {EMPTY}"],
    "no search path": lambda name: [f"ALTER FUNCTION {name}() RESET search_path"],
    "with the rights of its owner": lambda name: [f"ALTER FUNCTION {name}() SECURITY DEFINER"],
    "another function": lambda name: [
        f"CREATE FUNCTION audit_examples_empty() {EMPTY}",
        f"DROP TRIGGER {name} ON {AUTHOR}",
        f"CREATE TRIGGER {name} AFTER DELETE ON {AUTHOR} REFERENCING OLD TABLE AS old_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_examples_empty()",
    ],
    "a function of the same name elsewhere": lambda name: [
        "CREATE SCHEMA elsewhere",
        f"CREATE FUNCTION elsewhere.{name}() {EMPTY}",
        f"DROP TRIGGER {name} ON {AUTHOR}",
        f"CREATE TRIGGER {name} AFTER DELETE ON {AUTHOR} REFERENCING OLD TABLE AS old_rows"
        f" FOR EACH STATEMENT EXECUTE FUNCTION elsewhere.{name}()",
    ],
    "a condition": lambda name: [
        f"DROP TRIGGER {name} ON {AUTHOR}",
        f"CREATE TRIGGER {name} AFTER DELETE ON {AUTHOR} REFERENCING OLD TABLE AS old_rows"
        f" FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION {name}()",
    ],
    "for each row": lambda name: [
        f"DROP TRIGGER {name} ON {AUTHOR}",
        f"CREATE TRIGGER {name} AFTER DELETE ON {AUTHOR} REFERENCING OLD TABLE AS old_rows"
        f" FOR EACH ROW EXECUTE FUNCTION {name}()",
    ],
}


@pytest.mark.parametrize(
    "statements",
    [
        *[pytest.param(one, id=name) for name, one in BREAKS.items()],
        *[pytest.param(one, id=name, marks=on_sqlite) for name, one in BREAKS_OF_SQLITE.items()],
        *[
            pytest.param(one, id=name, marks=on_postgresql)
            for name, one in BREAKS_OF_POSTGRESQL.items()
        ],
    ],
)
@committed
def test_a_trigger_that_is_not_what_it_should_be_is_found_and_mended(
    statements: Callable[[str], list[str]],
) -> None:
    try:
        for statement in statements(a_trigger()):
            execute_outside(statement)
        found = triggers.faults(connection)
        assert found
        assert all("manage.py migrate" in fault for fault in found)
        triggers.install(connection)
        assert triggers.faults(connection) == []
        author = Author.objects.create(name="A")
        author.delete()
        assert [action for action, _, _ in of(Author)] == ["create", "delete"]
    finally:
        if POSTGRESQL:
            execute("DROP SCHEMA IF EXISTS elsewhere CASCADE")
            execute("DROP FUNCTION IF EXISTS audit_examples_empty() CASCADE")
        if triggers.faults(connection):
            triggers.Triggers(connection).drop()
            triggers.install(connection)


# Roles and search paths


@pytest.fixture
def schemer() -> Iterator[str]:
    """A role that has put operators and functions in front of PostgreSQL's."""
    role = "audit_examples_schemer"
    execute(f"CREATE ROLE {role}")
    execute(f"CREATE SCHEMA scheme AUTHORIZATION {role}")
    execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    for table in ("audit_entry", "audit_seal", Stock._meta.db_table):
        execute(f"GRANT SELECT, DELETE ON {table} TO {role}")
    execute("GRANT SELECT ON accounts_user TO PUBLIC")
    execute(f"GRANT INSERT ON audit_entry TO {role}")
    execute(f"GRANT USAGE ON SEQUENCE audit_entry_id_seq TO {role}")
    execute(f"SET ROLE {role}")
    for kind in ("bigint", "integer", "text"):
        execute(
            f"CREATE FUNCTION scheme.yes({kind}, {kind}) RETURNS boolean LANGUAGE sql IMMUTABLE"
            " AS 'SELECT true'"
        )
        for operator in ("<=", "=", "<>", ">"):
            execute(
                f"CREATE OPERATOR scheme.{operator} (LEFTARG = {kind}, RIGHTARG = {kind},"
                " FUNCTION = scheme.yes)"
            )
    execute(
        "CREATE FUNCTION scheme.current_query() RETURNS text LANGUAGE sql"
        " AS $$ SELECT 'x /*audit 1|request|forged*/' $$"
    )
    execute(
        "CREATE FUNCTION scheme.regexp_match(text, text) RETURNS text[] LANGUAGE sql"
        " AS $$ SELECT ARRAY['1', 'request', 'forged'] $$"
    )
    execute("CREATE FUNCTION scheme.right(text, integer) RETURNS text LANGUAGE sql AS 'SELECT $1'")
    execute("SET search_path = scheme, pg_catalog, public")
    yield role
    execute("RESET ROLE")
    execute("RESET search_path")


@on_postgresql
def test_operators_of_a_role_mislead_no_trigger(schemer: str) -> None:
    execute("RESET ROLE")
    execute("SET search_path = public")
    Stock.objects.create(code="a")
    before = Entry.objects.count()
    execute(f"SET ROLE {schemer}")
    execute("SET search_path = scheme, pg_catalog, public")
    for condition in ("", " WHERE id OPERATOR(pg_catalog.>) 0"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            execute(f"DELETE FROM public.audit_entry{condition}")
    execute("DELETE FROM public.audit_examples_stock")
    execute("RESET ROLE")
    execute("SET search_path = public")
    assert Entry.objects.count() == before + 1
    entry = Entry.objects.latest("pk")
    assert (entry.action, entry.actor_id, entry.request_id) == ("delete", None, "")


@on_postgresql
def test_rows_in_a_table_that_inherits_from_another() -> None:
    """Written by the name of the parent, they are rows of the model."""
    table = Reading._meta.db_table
    execute(f"CREATE TABLE {table} (device varchar(50), value integer, at integer)")
    execute(f"CREATE TABLE {table}_1 () INHERITS ({table})")
    with registered(Reading):
        Reading.objects.create(device="a", value=1, at=1)
        Reading.objects.update(value=2)
        Reading.objects.all().delete()
    assert [action for action, _, _ in of(Reading)] == ["create", "update", "delete"]


@on_postgresql
def test_a_table_that_is_made_of_partitions_cannot_be_recorded() -> None:
    """A row can move to another partition, of which no trigger tells."""
    table = Reading._meta.db_table
    execute(f"CREATE TABLE {table} (device text, value int, at int) PARTITION BY LIST (at)")
    with registered(Reading):
        (fault,) = triggers.faults(connection)
    assert "Reading is audited, but audit_examples_reading is no table that can" in fault


@on_postgresql
@pytest.mark.parametrize("name", ['odd"."readings', "ö" * 40])
def test_a_table_that_the_database_knows_by_another_name_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is in a schema, which Django does not know of; PostgreSQL cuts the second off."""
    execute("CREATE SCHEMA odd")
    monkeypatch.setattr(Reading._meta, "db_table", name)
    with registered(Reading):
        assert triggers.faults(connection) == []
        execute(f'CREATE TABLE "{name}" (device varchar(50), value integer, at integer)')
        Reading.objects.create(device="a")
        (fault,) = triggers.faults(connection)
    assert f"Reading is audited, but {name} is no table that can" in fault


@on_postgresql
@pytest.mark.parametrize("moved", ["", "accounts_user", AUTHOR])
def test_tables_in_another_schema_than_the_first_of_the_path(moved: str, ada: Any) -> None:
    """For example in that of all tenants, behind that of one tenant, or of a role."""
    connection.check_constraints()
    execute("CREATE SCHEMA another")
    if moved:
        execute(f"ALTER TABLE {moved} SET SCHEMA another")
    before, behind = ("public", "another") if moved else ("another", "public")
    execute(f"SET LOCAL search_path = {before}, {behind}")
    triggers.install(connection)
    assert triggers.faults(connection) == []
    with acting_as(ada):
        author = Author.objects.create(name="Ada")
        author.delete()
    assert who() == (ada.pk, "ada", "command")
    assert [action for action, _, _ in of(Author)] == ["create", "delete"]


@committed
@on_sqlite
def test_a_change_of_a_table_that_fails_leaves_it_its_triggers() -> None:
    with pytest.raises(DatabaseError, match="duplicate column"):
        execute(f"ALTER TABLE {AUTHOR} ADD COLUMN name text")
    assert triggers.faults(connection) == []
    Author.objects.create(name="Ada")
    assert [action for action, _, _ in of(Author)] == ["create"]


@committed
def test_a_transaction_that_is_undone_leaves_nothing_however_it_was_written() -> None:
    before = Entry.objects.count()
    with suppress(DatabaseError), transaction.atomic():
        execute(f"INSERT INTO {AUTHOR} (name) VALUES ('A')")
        Author.objects.bulk_create([Author(name="B")])
        execute("SELECT no_such_thing")
    assert Entry.objects.count() == before
    assert not Author.objects.exists()


@pytest.mark.parametrize("atomic", [True, False])
@committed
def test_writes_through_a_schema_editor_are_recorded(atomic: bool) -> None:
    with connection.schema_editor(atomic=atomic) as editor:
        editor.execute(f"INSERT INTO {AUTHOR} (name) VALUES (%s)", ["100% A"])
        editor.execute(f"UPDATE {AUTHOR} SET name = 'B'")
    assert [action for action, _, _ in of(Author)] == ["create", "update"]
    assert who() == (None, "", "command")
