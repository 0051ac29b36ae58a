"""More models to audit: columns that hold something else than the instance does."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models.signals import post_save, pre_save

from ..examples.models import Article, Author, Example

# Receivers that run before the trail's own, as those of an app installed earlier do.
early: dict[Any, list[Callable[..., None]]] = {pre_save: [], post_save: []}


def run_early(signal: Any, **kwargs: Any) -> None:
    for function in list(early[signal]):
        function(signal=signal, **kwargs)


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
