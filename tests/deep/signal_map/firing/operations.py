"""Every way to write with the ORM, and the signals that each sends, in their order.

``test_what_fires.py`` runs each line of code and compares; ``docs/what-fires.md`` shows the same
table. A signal is written with its sender, and with what its arguments say.
"""

from dataclasses import dataclass
from typing import Final

CREATED: Final = ("pre_save Book", "post_save Book created")
SAVED: Final = ("pre_save Book", "post_save Book")
DELETED: Final = ("pre_delete Book", "post_delete Book")
NOTHING: Final = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A write, the same as a coroutine where there is one, and the signals that it sends."""

    what: str
    code: str
    signals: tuple[str, ...]
    coroutine: str = ""

    @property
    def row(self) -> str:
        """The operation as a row of the table."""
        ways = f"`{self.code}`"
        if self.coroutine:
            ways += f", `{self.coroutine}`"
        said = ", ".join(f"`{each}`" for each in self.signals) or "**none**"
        return f"| {self.what} | {ways} | {said} |"


OPERATIONS: Final = (
    Operation("save a new row", 'Book(title="a").save()', CREATED, 'Book(title="a").asave()'),
    Operation("save a row that is there", "book.save()", SAVED, "book.asave()"),
    Operation(
        "save some fields",
        'book.save(update_fields=["title"])',
        ("pre_save Book update_fields=title", "post_save Book update_fields=title"),
        'book.asave(update_fields=["title"])',
    ),
    Operation(
        "save no fields",
        "book.save(update_fields=[])",
        NOTHING,
        "book.asave(update_fields=[])",
    ),
    Operation(
        "create",
        'Book.objects.create(title="a")',
        CREATED,
        'Book.objects.acreate(title="a")',
    ),
    Operation(
        "get or create, not there",
        'Book.objects.get_or_create(title="a")',
        CREATED,
        'Book.objects.aget_or_create(title="a")',
    ),
    Operation(
        "get or create, there",
        "Book.objects.get_or_create(pk=book.pk)",
        NOTHING,
        "Book.objects.aget_or_create(pk=book.pk)",
    ),
    Operation(
        "update or create, not there",
        'Book.objects.update_or_create(title="a")',
        CREATED,
        'Book.objects.aupdate_or_create(title="a")',
    ),
    Operation(
        "update or create, there",
        'Book.objects.update_or_create(pk=book.pk, defaults={"title": "a"})',
        ("pre_save Book update_fields=title", "post_save Book update_fields=title"),
        'Book.objects.aupdate_or_create(pk=book.pk, defaults={"title": "a"})',
    ),
    Operation(
        "create in bulk",
        'Book.objects.bulk_create([Book(title="a")])',
        NOTHING,
        'Book.objects.abulk_create([Book(title="a")])',
    ),
    Operation(
        "update in bulk",
        'Book.objects.bulk_update([book], ["title"])',
        NOTHING,
        'Book.objects.abulk_update([book], ["title"])',
    ),
    Operation(
        "update a queryset",
        'Book.objects.update(title="a")',
        NOTHING,
        'Book.objects.aupdate(title="a")',
    ),
    Operation("delete a row", "book.delete()", DELETED, "book.adelete()"),
    Operation(
        "delete a queryset, of two rows",
        "Tag.objects.all().delete()",
        ("pre_delete Tag", "pre_delete Tag", "post_delete Tag", "post_delete Tag"),
        "Tag.objects.all().adelete()",
    ),
    Operation(
        "delete what another row points to, `CASCADE`",
        "long.delete()",
        ("pre_delete Chapter", "pre_delete Book", "post_delete Chapter", "post_delete Book"),
        "long.adelete()",
    ),
    Operation(
        "delete a queryset of what other rows point to, `CASCADE`",
        'Book.objects.filter(title="long").delete()',
        ("pre_delete Chapter", "pre_delete Book", "post_delete Chapter", "post_delete Book"),
        'Book.objects.filter(title="long").adelete()',
    ),
    Operation(
        "delete what another row points to, `CASCADE`, by a key that may be null",
        "author.delete()",
        ("pre_delete Author", "pre_delete Book", "post_delete Author", "post_delete Book"),
        "author.adelete()",
    ),
    Operation(
        "delete what another row points to, `SET_NULL`",
        "lent.delete()",
        DELETED,
        "lent.adelete()",
    ),
    Operation(
        "delete what other rows point to, `DB_CASCADE` and `DB_SET_NULL`",
        "library.delete()",
        ("pre_delete Library", "post_delete Library"),
        "library.adelete()",
    ),
    Operation(
        "save a proxy",
        "OldBook.objects.create()",
        ("pre_save OldBook", "post_save OldBook created"),
        "OldBook.objects.acreate()",
    ),
    Operation(
        "delete a proxy",
        "old_book.delete()",
        ("pre_delete OldBook", "post_delete OldBook"),
        "old_book.adelete()",
    ),
    Operation(
        "save a child with a table of its own",
        "Novel.objects.create()",
        ("pre_save Novel", "post_save Novel created"),
        "Novel.objects.acreate()",
    ),
    Operation(
        "delete a child with a table of its own",
        "novel.delete()",
        ("pre_delete Novel", "pre_delete Book", "post_delete Novel", "post_delete Book"),
        "novel.adelete()",
    ),
    Operation(
        "delete the parent of such a child",
        "Book.objects.get(pk=novel.pk).delete()",
        ("pre_delete Novel", "pre_delete Book", "post_delete Novel", "post_delete Book"),
    ),
    Operation(
        "add links, one of two of which is there",
        "book.tags.add(tag, other_tag)",
        ("m2m_changed Book_tags pre_add 1", "m2m_changed Book_tags post_add 1"),
        "book.tags.aadd(tag, other_tag)",
    ),
    Operation(
        "add a link that is there",
        "book.tags.add(tag)",
        ("m2m_changed Book_tags pre_add 0", "m2m_changed Book_tags post_add 0"),
        "book.tags.aadd(tag)",
    ),
    Operation(
        "remove links, one of two of which is there",
        "book.tags.remove(tag, other_tag)",
        ("m2m_changed Book_tags pre_remove 2", "m2m_changed Book_tags post_remove 2"),
        "book.tags.aremove(tag, other_tag)",
    ),
    Operation(
        "set links anew",
        "book.tags.set([other_tag])",
        (
            "m2m_changed Book_tags pre_remove 1",
            "m2m_changed Book_tags post_remove 1",
            "m2m_changed Book_tags pre_add 1",
            "m2m_changed Book_tags post_add 1",
        ),
        "book.tags.aset([other_tag])",
    ),
    Operation(
        "set the links that are there",
        "book.tags.set([tag])",
        NOTHING,
        "book.tags.aset([tag])",
    ),
    Operation(
        "clear links",
        "book.tags.clear()",
        ("m2m_changed Book_tags pre_clear", "m2m_changed Book_tags post_clear"),
        "book.tags.aclear()",
    ),
    Operation(
        "create on the other side of a link",
        'book.tags.create(name="a")',
        (
            "pre_save Tag",
            "post_save Tag created",
            "m2m_changed Book_tags pre_add 1",
            "m2m_changed Book_tags post_add 1",
        ),
        'book.tags.acreate(name="a")',
    ),
    Operation(
        "add a link from the other side",
        "other_tag.books.add(book)",
        ("m2m_changed Book_tags pre_add reverse 1", "m2m_changed Book_tags post_add reverse 1"),
        "other_tag.books.aadd(book)",
    ),
    Operation(
        "remove a link from the other side",
        "tag.books.remove(book)",
        (
            "m2m_changed Book_tags pre_remove reverse 1",
            "m2m_changed Book_tags post_remove reverse 1",
        ),
        "tag.books.aremove(book)",
    ),
    Operation(
        "set links from the other side",
        "tag.books.set([lent])",
        (
            "m2m_changed Book_tags pre_remove reverse 1",
            "m2m_changed Book_tags post_remove reverse 1",
            "m2m_changed Book_tags pre_add reverse 1",
            "m2m_changed Book_tags post_add reverse 1",
        ),
        "tag.books.aset([lent])",
    ),
    Operation(
        "clear links from the other side",
        "tag.books.clear()",
        ("m2m_changed Book_tags pre_clear reverse", "m2m_changed Book_tags post_clear reverse"),
        "tag.books.aclear()",
    ),
    Operation(
        "delete one end of a link",
        "tag.delete()",
        ("pre_delete Tag", "post_delete Tag"),
        "tag.adelete()",
    ),
    Operation(
        "write to the table of links",
        "Book.tags.through.objects.create(book=book, tag=other_tag)",
        NOTHING,
    ),
    Operation(
        "delete from the table of links",
        "Book.tags.through.objects.all().delete()",
        NOTHING,
        "Book.tags.through.objects.all().adelete()",
    ),
    Operation(
        "add to the many of a foreign key",
        "author.books.add(book)",
        NOTHING,
        "author.books.aadd(book)",
    ),
    Operation(
        "add to the many of a foreign key, one by one",
        "author.books.add(book, bulk=False)",
        SAVED,
        "author.books.aadd(book, bulk=False)",
    ),
    Operation(
        "clear the many of a foreign key",
        "author.books.clear()",
        NOTHING,
        "author.books.aclear()",
    ),
    Operation(
        "load a fixture of a new row with a link",
        'call_command("loaddata", fixture, verbosity=0)',
        (
            "pre_save Book raw",
            "post_save Book created raw",
            "m2m_changed Book_tags pre_add 1 raw",
            "m2m_changed Book_tags post_add 1 raw",
        ),
    ),
    Operation(
        "write in SQL",
        'cursor.execute("UPDATE firing_book SET title = title")',
        NOTHING,
    ),
)
