"""Models to audit, with columns of many kinds."""

from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F


class Example(models.Model):
    """Belongs to the example app: by its place it would belong to the module."""

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        abstract = True
        app_label = "audit_examples"


class LowerCaseField(models.CharField):
    """A field from outside Django: the database gets something else than the instance holds."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return None if value is None else value.lower()


class Author(Example):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class ShownTags(models.Manager):
    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().exclude(slug__startswith="hidden")


class Tag(Example):
    """Has a text for a key and a manager that hides some."""

    slug = models.CharField(max_length=50, primary_key=True)

    articles: Any
    objects: ClassVar[Any] = ShownTags()

    def __str__(self) -> str:
        return f"#{self.slug}"


class Article(Example):
    class Status(models.IntegerChoices):
        DRAFT = 1
        PUBLIC = 2

    title = models.CharField("headline", max_length=50)
    body = models.TextField(blank=True)
    status = models.IntegerField(choices=Status, default=Status.DRAFT)
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    reads = models.IntegerField(default=0)
    reads_twice = models.GeneratedField(
        expression=F("reads") * 2, output_field=models.IntegerField(), db_persist=True
    )
    price = models.DecimalField(max_digits=20, decimal_places=2, null=True)
    rating = models.FloatField(null=True)
    is_open = models.BooleanField(default=False)
    published_on = models.DateField(null=True)
    published_at = models.DateTimeField(null=True)
    opens_at = models.TimeField(null=True)
    lasts = models.DurationField(null=True)
    reference = models.UUIDField(null=True)
    picture = models.BinaryField(null=True)
    address = models.GenericIPAddressField(null=True)
    attachment = models.FileField(null=True)
    details = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    code = LowerCaseField(max_length=50, null=True)
    access_token = models.CharField(max_length=50, blank=True)
    tags = models.ManyToManyField(Tag, related_name="articles")
    related = models.ManyToManyField("self")

    def __str__(self) -> str:
        return self.title
