"""More models to audit: other keys, links and parents, and columns that are converted."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import models
from django.db.models.signals import post_save, pre_save

from ..examples.models import Article, Author, Example, Tag

# Receivers that run before the trail's own, as those of an app installed earlier do.
early: dict[Any, list[Callable[..., None]]] = {pre_save: [], post_save: []}


def run_early(signal: Any, **kwargs: Any) -> None:
    for function in list(early[signal]):
        function(signal=signal, **kwargs)


class FrontPage(Article):
    class Meta(Example.Meta):
        proxy = True


class Note(Example):
    """Has a UUID for a key and goes when its article goes."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    article = models.ForeignKey(Article, models.CASCADE, related_name="notes")
    text = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.text


def first_tag() -> Tag | None:
    return Tag._base_manager.first()


class Review(Example):
    """Stays when what it points to goes; each of its keys changes in another way then."""

    id = models.BigAutoField(primary_key=True)
    article = models.ForeignKey(Article, models.SET_NULL, null=True, related_name="reviews")
    author = models.ForeignKey(Author, models.SET_DEFAULT, null=True, default=None)
    tag = models.ForeignKey(Tag, models.SET(first_tag), null=True, db_constraint=False)
    note = models.OneToOneField(Note, models.SET_NULL, null=True)
    stars = models.PositiveSmallIntegerField(default=1)

    def __str__(self) -> str:
        return "★" * self.stars


class Club(Example):
    """Links authors through a separate model."""

    name = models.CharField(max_length=50)
    members = models.ManyToManyField(Author, through="Membership", related_name="clubs")

    def __str__(self) -> str:
        return self.name


class Membership(Example):
    club = models.ForeignKey(Club, models.CASCADE)
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    role = models.CharField(max_length=50, blank=True)

    def __str__(self) -> str:
        return self.role


class Place(Example):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Restaurant(Place):
    stars = models.IntegerField(default=0)


class Hotel(Place):
    """Is audited itself, besides its parent."""

    beds = models.IntegerField(default=0)
    last_login = models.DateTimeField(null=True)


class ReversedField(models.TextField):
    """A field from outside Django whose column holds another text, as an encrypted one would."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else value[::-1]

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if value == "broken":
            raise KeyError(value)
        return None if value is None else value[::-1]


class CentsField(models.IntegerField):
    """A field from outside Django whose column holds a number of another type."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else int(value * 100)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else Decimal(value) / 100

    def to_python(self, value: Any) -> Any:
        return None if value is None else Decimal(value)


class PairField(models.Field):
    """A field from outside Django of which only the database knows what the column is."""

    def db_type(self, connection: Any) -> str:
        return "varchar(20)"

    def get_prep_value(self, value: Any) -> Any:
        return value and "/".join(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value and tuple(value.split("/"))


class Invoice(Example):
    """Has columns that hold something else than the instance, or that are filled in elsewhere."""

    note = ReversedField(null=True)
    total = CentsField(null=True)
    parties = PairField(null=True)
    terms = models.JSONField(default=dict)
    corrects = models.ForeignKey("self", models.CASCADE, null=True)
    number = models.IntegerField(db_default=7)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Invoice {self.pk}"


for model in (Author, Article):
    for signal in early:
        signal.connect(run_early, sender=model)
