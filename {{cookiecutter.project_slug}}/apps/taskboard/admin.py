from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from apps.accounts.models import User

from . import services
from .models import Notification, Project, Task, TaskInProgressError


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    """Projects; deleting one deletes all of its tasks, also those in progress."""

    list_display = ("name", "slug")
    search_fields = ("name",)


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Tasks; only the actions change the status, and announce the change."""

    list_display = ("title", "project", "status", "priority", "due_on")
    list_filter = ("status", "priority", "project")
    list_select_related = ("project",)
    search_fields = ("title", "description")
    autocomplete_fields = ("project", "assignees")
    readonly_fields = ("slug", "status", "creator", "completed_at")
    actions = ("start_selected", "complete_selected", "delete_selected")

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        """Make the person who adds a task its creator."""
        if not change:
            obj.creator_id = request.user.pk
        super().save_model(request, obj, form, change)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """List tasks in progress as protected, so that Django explains instead of failing.

        The tasks stay locked in the transaction that deletes them, so none can be started
        after this check.
        """
        deleted, counts, permissions, protected = super().get_deleted_objects(objs, request)
        with transaction.atomic():
            tasks = Task.objects.select_for_update().filter(pk__in=[task.pk for task in objs])
            started = [task for task in tasks if task.status == Task.Status.IN_PROGRESS]
        return (
            deleted,
            counts,
            permissions,
            [*protected, *(str(TaskInProgressError(task)) for task in started)],
        )

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[Task]
    ) -> HttpResponse | None:
        """Delete in one transaction with the log entries, which Django writes first."""
        with transaction.atomic():
            return delete_selected(self, request, queryset)

    @admin.action(permissions=["change"], description="Start selected %(verbose_name_plural)s")
    def start_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Start the selected tasks that are open."""
        started = sum(services.start(task) for task in queryset)
        self.message_user(request, f"Tasks started: {started}.", messages.SUCCESS)

    @admin.action(permissions=["change"], description="Complete selected %(verbose_name_plural)s")
    def complete_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Complete the selected tasks that are not done, and announce each."""
        user: Any = request.user
        completed = sum(services.complete(task, user) for task in queryset)
        self.message_user(request, f"Tasks completed: {completed}.", messages.SUCCESS)


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin):
    """Notifications, read-only."""

    list_display = ("text", "user", "created_at", "mailed_at")
    list_select_related = ("user",)
    search_fields = ("text", f"user__{User.USERNAME_FIELD}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Notification | None = None) -> bool:
        return False
