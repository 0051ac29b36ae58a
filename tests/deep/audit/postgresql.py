"""A model of columns that only PostgreSQL has."""

from django.contrib.postgres import fields as postgres
from django.db import models

from ..examples.models import Example
from .models import CentsField


class Season(Example):
    prices = postgres.ArrayField(models.DecimalField(max_digits=30, decimal_places=5), null=True)
    moments = postgres.ArrayField(models.DateTimeField(), null=True)
    pictures = postgres.ArrayField(models.BinaryField(), null=True)
    references = postgres.ArrayField(postgres.ArrayField(models.UUIDField()), null=True)
    details = postgres.ArrayField(models.JSONField(), null=True)
    totals = postgres.ArrayField(CentsField(), null=True)
    periods = postgres.ArrayField(postgres.DateRangeField(), null=True)
    ages = postgres.IntegerRangeField(null=True)
    weights = postgres.DecimalRangeField(null=True)
    open_at = postgres.DateTimeRangeField(null=True)
    days = postgres.DateRangeField(null=True)

    class Meta(Example.Meta):
        # Tests that open another database, on SQLite, leave such models out.
        managed = False

    def __str__(self) -> str:
        return f"Season {self.pk}"
