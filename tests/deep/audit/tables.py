"""Models on tables that do what Django leaves to the database, or that are not as they are declared."""

from django.db import models
from django.db.models.functions import Lower

from ..examples.models import Example, Tag
from .models import Hotel


class Shelf(Example):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Book(Example):
    """Goes when its shelf goes, and its copies with it; the database sees to that."""

    title = models.CharField(max_length=50)
    shelf = models.ForeignKey(Shelf, models.DB_CASCADE, null=True)
    tags = models.ManyToManyField(Tag, through="BookTag")

    def __str__(self) -> str:
        return self.title


class BookTag(Example):
    """A link that the database takes along with either of its ends."""

    book = models.ForeignKey(Book, models.DB_CASCADE)
    tag = models.ForeignKey(Tag, models.DB_CASCADE)

    def __str__(self) -> str:
        return str(self.pk)


class Loan(Example):
    """Stays when its book goes."""

    book = models.ForeignKey(Book, models.DB_SET_NULL, null=True)
    days = models.IntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.days} days"


class Stock(Example):
    """Has a column besides its key that is unique, and one to count with."""

    code = models.CharField(max_length=50, unique=True)
    count = models.IntegerField(default=0)
    pin = models.CharField(max_length=50, default="")

    def __str__(self) -> str:
        raise AssertionError("Nothing that is written is called by its text.")


class Passport(Example):
    """Its key is that of the object to which it belongs."""

    holder = models.OneToOneField(Hotel, models.CASCADE, primary_key=True)
    number = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.number


class Ticket(Example):
    """Its constraints compare what is made of its columns, or hold for some rows only."""

    code = models.CharField(max_length=50)
    seat = models.IntegerField(null=True)
    place = models.CharField(max_length=50, default="")
    is_open = models.BooleanField(default=True)

    class Meta(Example.Meta):
        constraints = (
            models.UniqueConstraint("is_open", Lower("code"), name="audit_ticket_code"),
            models.UniqueConstraint(
                fields=["seat"],
                condition=models.Q(is_open=True),
                name="audit_ticket_seat",
                violation_error_message="The seat is taken.",
            ),
        )

    def __str__(self) -> str:
        return self.code


class Reading(Example):
    """Its key is one for Django alone: the table holds several rows of each device."""

    device = models.CharField(max_length=50, primary_key=True)
    value = models.IntegerField(default=0)
    at = models.IntegerField(default=0)

    class Meta(Example.Meta):
        managed = False

    def __str__(self) -> str:
        return self.device


TABLES = [Shelf, Book, BookTag, Loan, Stock, Passport, Ticket]
