"""Projects, their tasks, and notifications about them.

Rules about a row are in ``save()`` and in database constraints, not in a ``pre_save`` receiver.
A receiver can be muted, and ``save(update_fields=...)`` does not write the fields that it sets.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, count
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models import Count, F, ProtectedError, Q, Value
from django.db.models.fields.files import FieldFile
from django.db.models.functions import Concat, Substr
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify

from apps.accounts.models import User
from apps.core.bulk import BulkSignalsQuerySet

SLUG_LENGTH = 60
ATTACHMENT_SIZE = 5 * 1024 * 1024  # bytes


class TaskInProgressError(ProtectedError):
    """The task is in progress, so it cannot be deleted on its own."""

    def __init__(self, task: "Task") -> None:
        self.sentence = f"“{task}” is in progress and cannot be deleted. Complete it first."
        super().__init__(self.sentence, {task})

    def __str__(self) -> str:
        return self.sentence


def check_size(file: FieldFile) -> None:
    """Refuse an attachment that is too large; accept one whose file is lost."""
    with suppress(FileNotFoundError):
        if file.size > ATTACHMENT_SIZE:
            raise ValidationError(f"A file may have {filesizeformat(ATTACHMENT_SIZE)} at most.")


def free_slug(text: str, among: models.QuerySet[Any]) -> str:
    """Make a slug of text in any language. It is not empty, and no row of ``among`` has it."""
    stem = slugify(text, allow_unicode=True)[: SLUG_LENGTH - 10].rstrip("-_") or "untitled"
    taken = set(among.filter(slug__startswith=stem).values_list("slug", flat=True))
    return next(
        slug for slug in chain([stem], (f"{stem}-{n}" for n in count(2))) if slug not in taken
    )


class WithSlug(models.Model):
    """A row with a slug; the first ``save()`` makes it from the text."""

    slug = models.SlugField(max_length=SLUG_LENGTH, allow_unicode=True, editable=False)

    class Meta:
        abstract = True

    def save(self, *, using: str | None = None, **options: Any) -> None:
        """Save the row. A new row gets a free slug, also when two are saved at the same time."""
        if not self._state.adding or self.slug:
            super().save(using=using, **options)
            return
        using = using or router.db_for_write(type(self), instance=self)
        namesakes = self.namesakes().using(using)
        while True:
            try:
                # The savepoint keeps an outer transaction usable when the slug has just been taken.
                with transaction.atomic(using=using):
                    self.slug = free_slug(str(self), namesakes)
                    super().save(using=using, **options)
                return
            except IntegrityError:
                if not namesakes.filter(slug=self.slug).exists():
                    self.slug = ""
                    raise

    def namesakes(self) -> models.QuerySet[Any]:
        """The rows whose slugs must differ from this one's."""
        return type(self)._default_manager.all()


class ProjectQuerySet(models.QuerySet["Project"]):
    def with_statistics(self) -> "ProjectQuerySet":
        """Count the tasks of each project in the query, so the numbers are always right."""
        today, done = timezone.localdate(), Q(tasks__status=Task.Status.DONE)
        return self.annotate(
            task_count=Count("tasks"),
            done_count=Count("tasks", filter=done),
            overdue_count=Count("tasks", filter=Q(tasks__due_on__lt=today) & ~done),
        )


class Project(WithSlug):
    """A project with its tasks."""

    name = models.CharField(max_length=200)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ("name", "pk")
        constraints = (
            models.UniqueConstraint(fields=["slug"], name="taskboard_project_slug_unique"),
            models.CheckConstraint(condition=~Q(slug=""), name="taskboard_project_has_slug"),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("taskboard:board", args=[self.slug])


class Task(WithSlug):
    """A task; ``completed_at`` is set if, and only if, it is done."""

    class Status(models.TextChoices):
        OPEN = "open"
        IN_PROGRESS = "in progress"
        DONE = "done"

    class Priority(models.IntegerChoices):
        LOW = 1
        NORMAL = 2
        HIGH = 3

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=200)
    description = models.TextField(max_length=10_000, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.OPEN)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.NORMAL)
    due_on = models.DateField("due", null=True, blank=True)
    creator = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="created_tasks"
    )
    assignees = models.ManyToManyField(User, blank=True, related_name="tasks")
    attachment = models.FileField(upload_to="tasks", blank=True, validators=[check_size])
    completed_at = models.DateTimeField(null=True, editable=False)
    overdue_announced_for = models.DateField(null=True, editable=False)

    class Meta:
        ordering = ("-priority", F("due_on").asc(nulls_last=True), "pk")
        constraints = (
            models.UniqueConstraint(fields=["project", "slug"], name="taskboard_task_slug_unique"),
            models.CheckConstraint(condition=~Q(slug=""), name="taskboard_task_has_slug"),
            models.CheckConstraint(
                condition=Q(status="done", completed_at__isnull=False)
                | (~Q(status="done") & Q(completed_at__isnull=True)),
                name="taskboard_task_done_iff_completed_at",
            ),
        )

    def __str__(self) -> str:
        return self.title

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Save the task; ``completed_at`` follows the status, also with ``update_fields``."""
        fields = None if update_fields is None else set(update_fields)
        # Django does not write a deferred status, and reading it would cost a query.
        written = {"status"} - self.get_deferred_fields() if fields is None else fields
        if "status" in written:
            if self.status != self.Status.DONE:
                self.completed_at = None
            elif self.completed_at is None:
                self.completed_at = timezone.now()
            if fields is not None:
                fields.add("completed_at")
        super().save(update_fields=fields, **options)

    def get_absolute_url(self) -> str:
        return reverse("taskboard:task", args=[self.project.slug, self.slug])

    @property
    def is_overdue(self) -> bool:
        """Whether it should have been done before today."""
        is_done = self.status == self.Status.DONE
        return self.due_on is not None and self.due_on < timezone.localdate() and not is_done

    def namesakes(self) -> models.QuerySet[Any]:
        return super().namesakes().filter(project_id=self.project_id)


class NotificationQuerySet(BulkSignalsQuerySet["Notification"]):
    def forget(self, user_pk: Any) -> int:
        """Delete a user's notifications, and name the user "Somebody" in others; return how many."""
        changed, _ = self.filter(user_id=user_pk).delete()
        user = User.objects.using(self.db).filter(pk=user_pk).first()
        if user is None:
            return changed
        name = user.get_username()
        rest = Substr("text", len(name) + 1)
        # The name is the first word of a text, and a username contains no space.
        return changed + self.filter(text__startswith=f"{name} ").update(
            text=Concat(Value("Somebody"), rest)
        )


class Notification(models.Model):
    """A message to a person; ``mailed_at`` is when a job began to mail it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    task = models.ForeignKey(Task, on_delete=models.SET_NULL, null=True, related_name="+")
    text = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)
    mailed_at = models.DateTimeField(null=True, editable=False)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.text
