"""The trail itself, and the seals that show whether it is still as it was."""

from collections.abc import Sequence

from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils import timezone

from . import registry
from .lineage import Names


class EntryQuerySet(models.QuerySet["Entry"]):
    """Entries, which can be added and read. The database refuses to change or delete them."""

    def of(self, instance: models.Model) -> "EntryQuerySet":
        """Select the history of one object, of its audited parents too; the latest entry first."""
        model = type(instance)
        labels = [one.model._meta.label for one in registry.covering(model)] or [model._meta.label]
        return self._called(labels, registry.object_key(model, instance.pk, self.db))

    def named(self, label: str, key: str) -> "EntryQuerySet":
        """Select the history of the object with a model's label, which may be gone, and a key."""
        if "\x00" in label + key:
            return self.none()
        try:
            return self.of(apps.get_model(label)(pk=key))
        except (LookupError, ValueError):
            return self._called([label], key)

    def _called(self, labels: Sequence[str], key: str) -> "EntryQuerySet":
        names = Names(models.QuerySet(Entry, using=self.db))
        return self.filter(names.condition(labels), object_id=key).order_by("-pk")


# As functions, choices are no part of the migrations.
def actions() -> list[tuple[str, str]]:
    return Entry.Action.choices


def sources() -> list[tuple[str, str]]:
    return Entry.Source.choices


class Entry(models.Model):
    """One change of one object. Order entries by id, because clocks may step back.

    ``request_id`` names the request that led to the change, also in a job; it may be empty.
    ``changes`` maps the name of each changed field, as it was called then, to one of

    - ``{"old": …, "new": …}``, values that ``apps.audit.values.decode`` reads;
      ``old`` is None on a creation and ``new`` on a deletion;
    - ``{"added": […], "removed": […]}``, the keys of a many-to-many field;
    - ``{"masked": true}`` for a field whose values stay out of the trail;
    - ``{"forgotten": true}`` for a personal value that was forgotten; the member ``(forgotten)``
      then holds what the seals need;
    - ``{"renamed": …}``, the old name of a field, or of the model under the empty name.
    """

    class Action(models.TextChoices):
        CREATE = "create", "Created"
        UPDATE = "update", "Changed"
        DELETE = "delete", "Deleted"
        RENAME = "rename", "Renamed"
        STATE = "state", "Recorded as it was"
        RESTORE = "restore", "Brought back"
        FORGET = "forget", "Forgotten"
        LOGIN = "login", "Logged in"
        LOGOUT = "logout", "Logged out"
        FAILED_LOGIN = "failed", "Failed to log in"

    class Source(models.TextChoices):
        REQUEST = "request", "Request"
        JOB = "job", "Job"
        COMMAND = "command", "Command"
        DATABASE = "database", "Database"

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField("time", default=timezone.now)
    action = models.CharField(max_length=7, choices=actions)
    model_label = models.CharField("model", max_length=201)
    object_id = models.TextField()
    object_repr = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    actor_name = models.CharField("actor", max_length=254, blank=True)
    source = models.CharField(max_length=8, choices=sources, default=Source.COMMAND)
    request_id = models.CharField("request", max_length=64, blank=True)
    changes = models.JSONField(default=dict)

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "entries"
        ordering = ("-id",)
        permissions = (("forget_person", "Can forget a person"),)
        # Each index is paid for by each audited write. One finds the history of an object,
        # the other what a person did, of which most writes by machines are no part.
        indexes = (
            models.Index(fields=["model_label", "object_id", "-id"], name="audit_object"),
            models.Index(
                fields=["actor", "-id"], name="audit_actor", condition=models.Q(actor__isnull=False)
            ),
            # These two hold few entries: renamed models and fields, and forgotten persons.
            models.Index(fields=["id"], name="audit_rename", condition=models.Q(action="rename")),
            models.Index(fields=["id"], name="audit_forget", condition=models.Q(action="forget")),
        )

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.model_label} {self.object_repr}"


class Seal(models.Model):
    """One link of the chain that shows whether sealed entries are still as they were.

    A link of the kind ``entries`` holds a fingerprint of each entry after those of the link
    before it, up to the entry ``until``. A link of the kind ``pruning`` says that retention
    removes all entries up to ``until``. ``digest`` covers the link and the digest of the link
    before, but not ``salts``, which holds zeros for forgotten entries.
    """

    class Kind(models.TextChoices):
        ENTRIES = "entries"
        PRUNING = "pruning"

    # The code assigns it, so only one of two runs at a time can add the next link.
    number = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=7)
    until = models.BigIntegerField()
    count = models.BigIntegerField()
    digest = models.CharField(max_length=64)
    fingerprints = models.BinaryField(default=bytes)
    salts = models.BinaryField(default=bytes)

    class Meta:
        ordering = ("number",)
        # The trigger on deletions of entries reads it.
        indexes = (
            models.Index(
                fields=["until"], name="audit_pruning", condition=models.Q(kind="pruning")
            ),
        )

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"
