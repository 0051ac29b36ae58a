"""Models with every relation that matters for which signals a write sends."""

from typing import Any, ClassVar

from django.db import models


class Example(models.Model):
    """Belongs to the example app: by its place it would belong to the kit."""

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        abstract = True
        app_label = "firing"


class Author(Example):
    name = models.CharField(max_length=50)

    books: Any

    def __str__(self) -> str:
        return self.name


class Tag(Example):
    name = models.CharField(max_length=50)

    books: Any

    def __str__(self) -> str:
        return self.name


class Book(Example):
    title = models.CharField(max_length=50)
    author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")

    def __str__(self) -> str:
        return self.title


class OldBook(Book):
    """A proxy."""

    class Meta:
        proxy = True
        app_label = "firing"


class Novel(Book):
    """A child with a table of its own."""

    hero = models.CharField(max_length=50)


class Chapter(Example):
    book = models.ForeignKey(Book, models.CASCADE)

    def __str__(self) -> str:
        return f"chapter {self.pk}"


class Loan(Example):
    book = models.ForeignKey(Book, models.SET_NULL, null=True)

    def __str__(self) -> str:
        return f"loan {self.pk}"


class Library(Example):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Room(Example):
    """Is deleted by the database itself."""

    library = models.ForeignKey(Library, models.DB_CASCADE)

    def __str__(self) -> str:
        return f"room {self.pk}"


class Card(Example):
    """Is cleared by the database itself."""

    library = models.ForeignKey(Library, models.DB_SET_NULL, null=True)

    def __str__(self) -> str:
        return f"card {self.pk}"
