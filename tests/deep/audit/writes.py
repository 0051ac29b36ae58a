"""Writes of every kind, by the ORM and past it, each made of a few random choices."""

# ruff: noqa: S608 (the names of tables are those of the models)

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.core import serializers
from django.db import connection
from django.db.migrations.operations import RunPython, RunSQL
from django.db.migrations.state import ProjectState
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat, Now, Upper
from hypothesis import strategies as st

from ..examples.models import Article, Author, Tag
from .models import Club, FrontPage, Hotel, Membership, Note, Place, Restaurant, Review
from .tables import Book, BookTag, Loan, Shelf, Stock

ARTICLE, AUTHOR, REVIEW, TAG = (model._meta.db_table for model in (Article, Author, Review, Tag))
BOOK_TAG, SHELF, STOCK = (model._meta.db_table for model in (BookTag, Shelf, Stock))

TEXTS: Final = ("", "a", "B", "Zoë \U0001f642", 'it\'s 100% "so"', "back\\slash {}", "%s %(a)s")


@dataclass(frozen=True)
class Choices:
    """The numbers that a write decides by. Any numbers choose something."""

    one: int
    two: int
    three: int
    text: str

    def row(self, model: Any, number: int | None = None) -> Any:
        """Choose a row of a table; None when it is empty."""
        found = list(model._base_manager.order_by("pk"))
        return found[(self.one if number is None else number) % len(found)] if found else None

    def values(self) -> dict[str, Any]:
        """Choose values for a few columns of an article."""
        number = self.two + 10 * self.three
        moment = datetime(2024, 2, 29, 23, 59, 59, number * 1001, tzinfo=UTC)
        possible: list[tuple[str, Any]] = [
            ("title", self.text),
            ("body", self.text * 2),
            ("status", Article.Status.PUBLIC if self.one % 2 else Article.Status.DRAFT),
            ("reads", number),
            ("price", Decimal(number) / 100),
            ("rating", number / 7),
            ("is_open", bool(self.one % 2)),
            ("published_on", date(2024, 2, 1 + self.one)),
            ("published_at", moment if self.one % 2 else moment.replace(microsecond=0)),
            ("opens_at", time(self.one, 59, 59, self.two)),
            ("lasts", timedelta(days=self.one - 3, microseconds=self.two)),
            ("reference", UUID(int=number)),
            ("picture", bytes([self.one, self.two, 255])),
            ("address", f"2001:db8::{self.one + 1}"),
            ("attachment", f"folder/{self.one}.txt"),
            ("details", {"is": [self.text, number / 7, bool(self.one % 2), None], "deep": {"": 0}}),
            ("code", self.text.upper() or None),
            ("access_token", self.text),
            ("author", self.row(Author, self.three)),
        ]
        start, count = 3 * self.one + self.two, 1 + self.three % 4
        chosen = {}
        for step in range(count):
            name, value = possible[(start + step * 5) % len(possible)]
            nullable = Article._meta.get_field(name).null
            chosen[name] = None if nullable and (self.two + step) % 7 == 0 else value
        return chosen


choices: Final = st.builds(
    Choices,
    one=st.integers(0, 9),
    two=st.integers(0, 9),
    three=st.integers(0, 9),
    text=st.sampled_from(TEXTS),
)


def populate() -> None:
    """Make a few rows of each kind, so that the writes have something to do."""
    ada, bob = Author.objects.create(name="a"), Author.objects.create(name="B")
    tags = [Tag.objects.create(slug=slug) for slug in ("a", "b", "hidden")]
    for number, author in enumerate((ada, ada, bob, None)):
        article = Article.objects.create(title="", author=author, reads=20 * number)
        article.tags.set(tags[: number + 1])
        article.related.add(Article.objects.all()[0])
        note = article.notes.create(text="a")
        Review.objects.create(article=article, author=author, tag=tags[number % 3], note=note)
    Club.objects.create(name="One").members.add(ada, bob)
    Hotel.objects.create(name="a", beds=3)
    Restaurant.objects.create(name="B")


def execute(sql: str, *parameters: Any) -> None:
    """Run a statement of SQL."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


WRITES: Final[dict[str, Callable[[Choices], None]]] = {}


def write(function: Callable[[Choices], None]) -> Callable[[Choices], None]:
    WRITES[function.__name__] = function
    return function


# Creations


@write
def create_an_author(c: Choices) -> None:
    Author.objects.create(name=c.text)


@write
def create_a_tag(c: Choices) -> None:
    Tag.objects.get_or_create(slug=f"{c.text}{c.one}")


@write
def create_an_article(c: Choices) -> None:
    model = FrontPage if c.one % 3 == 0 else Article
    model.objects.create(**{"title": "new", **c.values()})


@write
def create_with_expressions(c: Choices) -> None:
    Article.objects.create(title=Upper(Value(c.text)), published_at=Now(), reads=Value(3) * c.one)


@write
def create_a_note(c: Choices) -> None:
    article = c.row(Article)
    if article:
        article.notes.create(text=c.text)


@write
def create_a_review(c: Choices) -> None:
    note = c.row(Note, c.three)
    Review.objects.create(
        article=c.row(Article),
        author=c.row(Author, c.two),
        tag=c.row(Tag, c.three),
        note=note if note and not Review.objects.filter(note=note).exists() else None,
    )


@write
def create_a_child(c: Choices) -> None:
    Hotel.objects.create(name=c.text, beds=c.one)
    Restaurant.objects.create(name=c.text, stars=c.one)


@write
def create_with_a_key(c: Choices) -> None:
    Author(pk=100 + c.one, name=c.text).save()
    Note(pk=UUID(int=c.one), article_id=getattr(c.row(Article), "pk", None), text=c.text).save()


@write
def create_in_bulk(c: Choices) -> None:
    Article.objects.bulk_create(
        [Article(**{"title": str(number), **c.values()}) for number in range(c.two)],
        batch_size=[None, 2][c.one % 2],
    )
    Author.objects.bulk_create([Author(name=c.text), Author(pk=200 + c.one, name=c.text)])


@write
def create_notes_in_bulk(c: Choices) -> None:
    article = c.row(Article)
    if article:
        article.notes.bulk_create([Note(article=article, text=c.text) for _ in range(c.two)])


@write
def create_in_bulk_ignoring_conflicts(c: Choices) -> None:
    tags = [Tag(slug=f"{c.text}{number}") for number in range(c.one, c.one + 3)]
    Tag.objects.bulk_create(tags, ignore_conflicts=True)


@write
def create_or_change_in_bulk(c: Choices) -> None:
    authors = [Author(pk=100 + c.one, name=c.text), Author(pk=100 + c.two, name=c.text * 2)]
    Author.objects.bulk_create(
        authors if c.one != c.two else authors[:1],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["id"],
    )
    Stock.objects.bulk_create(
        [Stock(code=str(code), count=c.three, pin=c.text) for code in {c.one, c.two, c.three}],
        update_conflicts=True,
        update_fields=["count", "pin"],
        unique_fields=["code"],
    )


# Changes of one object


@write
def save_values(c: Choices) -> None:
    article = c.row(Article)
    if article:
        values = c.values()
        for name, value in values.items():
            setattr(article, name, value)
        article.save(update_fields=list(values)[:1] if c.two % 2 else None)


@write
def save_expressions(c: Choices) -> None:
    article = c.row(Article)
    if article:
        article.reads = F("reads") + c.two
        article.title = Concat(Value(c.text), Value("."))
        article.published_at = Now()
        article.save(force_update=True)


@write
def save_what_is_deferred(c: Choices) -> None:
    article = c.row(Article)
    if article:
        loaded = Article.objects.only("title", "body").get(pk=article.pk)
        loaded.title = c.text
        loaded.save()
        loaded = Article.objects.defer("title").get(pk=article.pk)
        loaded.title = c.text * 2
        loaded.save()


@write
def save_a_stale_copy(c: Choices) -> None:
    article = c.row(Article)
    if article:
        stale = Article.objects.get(pk=article.pk)
        article.body = c.text
        article.reads = c.two
        article.save()
        stale.title = c.text * 2
        stale.save()


@write
def save_nothing_new(c: Choices) -> None:
    article = c.row(Article)
    if article:
        article.save()
        article.refresh_from_db()
        article.save(force_update=True)


@write
def save_what_is_made_by_hand(c: Choices) -> None:
    article = c.row(Article)
    if article:
        Article(pk=article.pk, title=c.text, reads=c.two).save()


@write
def save_a_child(c: Choices) -> None:
    hotel = c.row(Hotel)
    if hotel:
        hotel.name, hotel.beds = c.text, c.two
        hotel.save(update_fields=["name"] if c.three % 3 == 0 else None)


@write
def update_or_create(c: Choices) -> None:
    Author.objects.update_or_create(pk=100 + c.one, defaults={"name": c.text})
    Tag.objects.update_or_create(slug=c.text)


@write
def load_a_fixture(c: Choices) -> None:
    article = c.row(Article)
    if article:
        article.title = c.text
        for loaded in serializers.deserialize("json", serializers.serialize("json", [article])):
            if c.two % 2:
                loaded.m2m_data = {"tags": list(Tag.objects.values_list("pk", flat=True)[: c.one])}
            loaded.save()


# Changes in bulk


@write
def update(c: Choices) -> None:
    rows = Article.objects.all() if c.one % 4 == 0 else Article.objects.filter(reads__lte=c.two * 9)
    rows.update(**c.values())


@write
def update_one(c: Choices) -> None:
    article = c.row(Article)
    if article:
        FrontPage.objects.filter(pk=article.pk).update(**c.values())


@write
def update_with_expressions(c: Choices) -> None:
    Article.objects.filter(pk__gt=c.one).update(
        reads=F("reads") + 1,
        title=Case(When(reads__gt=c.two, then=Value(c.text)), default=F("title")),
        published_at=Now(),
        price=F("price") / 4,
        rating=F("rating") * 1.1,
    )


@write
def update_across_tables(c: Choices) -> None:
    Article.objects.filter(author__name=c.text).update(body="by", status=2)
    Article.objects.filter(tags__slug__contains=str(c.one)).distinct().update(body="tagged")
    Note.objects.filter(article__in=Article.objects.filter(reads__gt=c.two)).update(text=c.text)


@write
def update_a_child(c: Choices) -> None:
    Hotel.objects.filter(beds__gte=c.two).update(name=c.text, beds=F("beds") + 1)
    Restaurant.objects.update(name=c.text, stars=c.one)
    Place.objects.filter(hotel__beds=c.two).update(name=c.text)


@write
def update_in_bulk(c: Choices) -> None:
    articles = list(Article.objects.filter(pk__gte=c.one))
    for number, article in enumerate(articles):
        for name, value in c.values().items():
            setattr(article, name, value)
        article.title = f"{c.text}{number}"
        article.reads = F("reads") + number
    names = {"title", "reads", *c.values()}
    Article.objects.bulk_update(articles, names, batch_size=[None, 2][c.two % 2])
    hotels = list(Hotel.objects.all())
    for hotel in hotels:
        hotel.name, hotel.beds = c.text, c.one
    Hotel.objects.bulk_update(hotels, ["name", "beds"])


@write
def move_related(c: Choices) -> None:
    author, article = c.row(Author), c.row(Article, c.two)
    if author and article:
        author.article_set.add(article)
        match c.three % 4:
            case 0:
                author.article_set.clear()
            case 1:
                author.article_set.remove(article)
            case 2:
                author.article_set.set(Article.objects.all()[: c.two])


@write
def change_a_key(c: Choices) -> None:
    """Rows that point to the old key would be left behind. So only rows without such others are moved."""
    match c.one % 4:
        case 0:
            tags = Tag._base_manager.filter(articles=None, review=None, booktag=None)
            tags.filter(pk=getattr(c.row(Tag, c.two), "pk", None)).update(
                slug=f"{c.text}{c.three}!"
            )
        case 1:
            notes = Note.objects.filter(review=None, pk=getattr(c.row(Note, c.two), "pk", None))
            notes.update(id=UUID(int=1000 + 10 * c.two + c.three), text=c.text)
        case 2:
            stock = c.row(Stock, c.two)
            if stock:
                key = 1000 + 10 * c.two + c.three
                Stock.objects.filter(pk=stock.pk).update(id=key, count=F("count") + 1)
        case _:
            Review.objects.filter(stars=1).update(id=F("id") + 1_000_000)


# Links


@write
def link(c: Choices) -> None:
    article, tag, other = c.row(Article), c.row(Tag, c.two), c.row(Article, c.three)
    if article and tag:
        match (c.one + c.two + c.three) % 10:
            case 0:
                article.tags.clear()
            case 1:
                tag.articles.clear()
            case 2:
                article.tags.remove(tag, "not there")
            case 3:
                tag.articles.add(article, other)
            case 4:
                article.tags.set(Tag.objects.all()[: c.two])
            case 5:
                tag.articles.set([other], clear=True)
            case 6:
                article.related.remove(other)
            case 7:
                article.related.add(other, article)
            case 8:
                article.tags.add(tag, *Tag.objects.all()[: c.three])
            case _:
                FrontPage.objects.get(pk=article.pk).tags.add(tag)


@write
def link_through_rows(c: Choices) -> None:
    article, tag = c.row(Article), c.row(Tag, c.two)
    through = Article.tags.through
    if article and tag and not through.objects.filter(article=article, tag=tag).exists():
        through.objects.create(article=article, tag=tag)
    through.objects.filter(tag__slug__endswith=c.text).delete()


@write
def link_through_a_model(c: Choices) -> None:
    club, author = c.row(Club), c.row(Author, c.two)
    if not club or not author:
        Club.objects.create(name=c.text)
    elif author in club.members.all():
        club.members.remove(author)
    elif c.three % 2:
        author.clubs.add(club, through_defaults={"role": c.text})
    else:
        Membership.objects.create(club=club, author=author, role=c.text)


@write
def move_links(c: Choices) -> None:
    row = c.row(Membership)
    club, author = c.row(Club, c.two), c.row(Author, c.three)
    if row and club and author:
        match c.three % 4:
            case 0:
                row.club = club
            case 1:
                row.author = author
            case 2:
                row.club, row.author, row.role = club, author, c.text
            case _:
                row.author = None
        if not Membership.objects.filter(club=row.club, author=row.author).exclude(pk=row.pk):
            row.save()
    one, other = c.row(Article, c.two), c.row(Article, c.three)
    through = Article.tags.through
    if one and other and not through.objects.filter(article=other):
        through.objects.filter(article=one).update(article=other)


# Past the ORM


@write
def insert_by_sql(c: Choices) -> None:
    author = c.row(Author, c.three)
    execute(f"insert into {AUTHOR} (name) values (%s), (%s)", c.text, c.text * 2)
    execute(
        f"INSERT INTO {REVIEW} (author_id, stars) SELECT id, %s FROM {AUTHOR} WHERE name = %s",
        1 + c.one,
        c.text,
    )
    execute(
        f"INSERT INTO {STOCK} (code, count, pin) VALUES (%s, %s, 'hunter')"
        " ON CONFLICT (code) DO UPDATE SET count = excluded.count + 1, pin = excluded.pin",
        str(c.one),
        c.two,
    )
    execute(f"INSERT INTO {TAG} (slug) VALUES (%s) ON CONFLICT DO NOTHING", f"{c.text}{c.two}")
    article = c.row(Article)
    if article and author:
        execute(f"UPDATE {ARTICLE} SET author_id = %s WHERE id = %s", author.pk, article.pk)


@write
def update_by_sql(c: Choices) -> None:
    execute(
        f"WITH those AS (SELECT id FROM {ARTICLE} WHERE reads >= %s)"
        f" UPDATE {ARTICLE} SET title = %s, reads = reads + 1, access_token = 'hunter'"
        " WHERE id IN (SELECT id FROM those)",
        10 * c.one,
        c.text,
    )
    execute(f"update {AUTHOR} set name = upper(name) where id %% 3 = %s", c.two % 3)
    execute(
        f"UPDATE {REVIEW} SET stars = n.n FROM (SELECT %s AS n) AS n WHERE {REVIEW}.stars < n.n",
        c.three,
    )


@write
def delete_by_sql(c: Choices) -> None:
    execute(f"delete from {REVIEW} where stars > %s", 3 + c.one)
    execute(f"DELETE FROM {STOCK} WHERE code = %s", str(c.two))
    execute(f"DELETE FROM {BOOK_TAG} WHERE tag_id = %s", c.text)
    execute(
        f"DELETE FROM {Article.tags.through._meta.db_table} WHERE article_id IN"
        f" (SELECT id FROM {ARTICLE} WHERE reads = %s)",
        c.three,
    )


@write
def replace_by_sql(c: Choices) -> None:
    if connection.vendor == "postgresql":
        execute(
            f"MERGE INTO {STOCK} AS s USING (VALUES (%s, %s::integer), (%s, 5)) AS n (code, count)"
            " ON s.code = n.code WHEN MATCHED AND s.count > 7 THEN DELETE"
            " WHEN MATCHED THEN UPDATE SET count = n.count"
            " WHEN NOT MATCHED THEN INSERT (code, count, pin) VALUES (n.code, n.count, 'hunter')",
            str(c.one),
            c.two,
            f"{c.one}!",
        )
        with connection.cursor() as cursor:
            raw: Any = cursor
            # Django does not see the errors of this one.
            with (
                connection.wrap_database_errors,
                raw.copy(f"COPY {AUTHOR} (name) FROM STDIN") as copy,
            ):
                copy.write_row((c.text,))
        if c.three == 9:
            execute(f"TRUNCATE {STOCK}, {BOOK_TAG}")
        return
    execute(
        f"INSERT OR REPLACE INTO {STOCK} (id, code, count, pin) VALUES (%s, %s, %s, 'hunter')",
        c.one,
        str(c.two),
        c.three,
    )
    execute(f"UPDATE OR REPLACE {STOCK} SET code = %s WHERE id > %s", str(c.three), c.one + 8)
    execute(f"REPLACE INTO {SHELF} (id, name) VALUES (%s, %s)", 100 + c.one, c.text)


@write
def write_as_migrations_do(c: Choices) -> None:
    """With the models of a migration, and with the statements of its schema editor."""
    state = ProjectState.from_apps(apps)
    operation = [fill, run][c.one % 2](c)
    # Inside of a transaction, as the migrations of SQLite cannot be.
    editor = connection.SchemaEditorClass(connection, atomic=False)
    editor.deferred_sql = []
    operation.database_forwards("audit_examples", editor, state, state.clone())


def fill(c: Choices) -> RunPython:
    def forwards(apps: Any, editor: Any) -> None:
        for author in apps.get_model("audit_examples", "Author")._base_manager.filter(pk__gt=c.two):
            author.name = c.text
            author.save()
        apps.get_model("audit_examples", "Stock")._base_manager.update(count=F("count") + 1)

    return RunPython(forwards)


def run(c: Choices) -> RunSQL:
    return RunSQL([(f"UPDATE {AUTHOR} SET name = %s WHERE id > %s", [c.text, c.three])])


@write
def shelve(c: Choices) -> None:
    """Make what the database takes along."""
    shelf = Shelf.objects.create(name=c.text)
    for number in range(c.two % 4):
        book = Book.objects.create(title=f"{c.text}{number}", shelf=shelf)
        tag = c.row(Tag, c.three + number)
        if tag:
            book.tags.add(tag)
        Loan.objects.create(book=book, days=number)


@write
def let_the_database_delete(c: Choices) -> None:
    match c.three % 4:
        case 0:
            Shelf.objects.filter(pk=getattr(c.row(Shelf), "pk", None)).delete()
        case 1:
            execute(f"DELETE FROM {SHELF} WHERE id %% 4 = %s", c.two % 4)
        case 2:
            book = c.row(Book)
            if book:
                book.delete()
        case _:
            tags = Tag._base_manager.filter(articles=None, review=None)
            tags.filter(pk=getattr(c.row(Tag, c.two), "pk", None)).delete()


# Deletions


@write
def delete(c: Choices) -> None:
    row = c.row((Author, Tag, Article, Note, Review, Club, Hotel)[c.two % 7])
    if row:
        row.delete()


@write
def delete_a_proxy(c: Choices) -> None:
    page = c.row(FrontPage)
    if page:
        page.delete()


@write
def delete_but_for_the_parent(c: Choices) -> None:
    hotel = c.row(Hotel)
    if hotel:
        hotel.delete(keep_parents=c.two % 2 == 0)


@write
def delete_in_bulk(c: Choices) -> None:
    match c.three % 5:
        case 0:
            Article.objects.filter(reads__gt=c.two * 10).delete()
        case 1:
            Author.objects.filter(article__title=c.text).delete()
        case 2:
            Review.objects.filter(stars=1, author__name=c.text).delete()
        case 3:
            Place.objects.filter(name=c.text).delete()
        case _:
            Note.objects.filter(article__reads__lt=c.two).delete()


@write
def delete_raw(c: Choices) -> None:
    Review.objects.filter(pk__gt=c.one)._raw_delete("default")
