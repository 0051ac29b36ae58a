"""The models that are written to: columns of the usual kinds, and links."""

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Article(models.Model):
    title = models.CharField(max_length=200)
    body = models.TextField()
    status = models.IntegerField(default=1)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=1)
    is_open = models.BooleanField(default=False)
    published_at = models.DateTimeField(null=True)
    author = models.ForeignKey(Author, models.CASCADE, null=True, db_index=False)
    tags = models.ManyToManyField(Tag)

    def __str__(self) -> str:
        return self.title


class Log(models.Model):
    """The least that any trail has to write: the floor."""

    created_at = models.DateTimeField()
    action = models.CharField(max_length=6)
    model_label = models.CharField(max_length=200)
    object_id = models.TextField()
    object_repr = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=200)
    changes = models.JSONField()

    class Meta:
        indexes = (models.Index(fields=["model_label", "object_id", "-id"], name="log_object"),)

    def __str__(self) -> str:
        return self.object_repr


# As many fields as a project has. With only the few above, Python runs all of Django's ORM up to a
# tenth faster, but not in a process with a recorder, whose models add fields.
for number in range(20):
    columns = {f"text{each}": models.CharField(max_length=100) for each in range(8)}
    columns |= {"day": models.DateField(null=True), "count": models.IntegerField(default=0)}
    type(f"Other{number}", (models.Model,), {"__module__": __name__, **columns})
