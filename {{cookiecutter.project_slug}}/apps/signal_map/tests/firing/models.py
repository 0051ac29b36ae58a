"""Models with every relation that decides which signals a write sends."""

from typing import Any, ClassVar

from django.db import models

from apps.core.bulk import BulkSignalsQuerySet


class Example(models.Model):
    """Belongs to the example app: by its place it would belong to the map."""

    name = models.CharField(max_length=50)

    objects: ClassVar[Any] = models.Manager()
    books: Any

    class Meta:
        abstract = True
        app_label = "firing"

    def __str__(self) -> str:
        return self.name


class Author(Example):
    pass


class Tag(Example):
    pass


class Book(Example):
    author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")


class OldBook(Book):
    """A proxy."""

    class Meta:
        proxy = True
        app_label = "firing"


class Novel(Book):
    """A child with its own table."""

    hero = models.CharField(max_length=50)


class Chapter(Example):
    book = models.ForeignKey(Book, models.CASCADE)


class Loan(Example):
    """Tells of bulk writes."""

    book = models.ForeignKey(Book, models.SET_NULL, null=True)

    objects: ClassVar[Any] = BulkSignalsQuerySet.as_manager()


class Library(Example):
    pass


class Room(Example):
    """Is deleted by the database itself."""

    library = models.ForeignKey(Library, models.DB_CASCADE)


class Card(Example):
    """Is cleared by the database itself."""

    library = models.ForeignKey(Library, models.DB_SET_NULL, null=True)
