from typing import Any

from django.contrib import admin
from django.contrib.admin.actions import delete_selected
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from apps.accounts.models import User

from .models import Notification, Project, Task, TaskInProgressError


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    """Projects; deleting one deletes all of its tasks, also those in progress."""

    list_display = ("name", "slug")
    search_fields = ("name",)


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Tasks; the board changes their status, because its services announce the change."""

    list_display = ("title", "project", "status", "priority", "due_on")
    list_select_related = ("project",)
    autocomplete_fields = ("project", "creator", "assignees")
    readonly_fields = ("slug", "status", "completed_at")
    actions = ("delete_selected",)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """List tasks in progress as protected, so that Django explains instead of failing.

        The tasks stay locked in the transaction that deletes them, so none can be started
        after this check.
        """
        *found, protected = super().get_deleted_objects(objs, request)
        with transaction.atomic():
            tasks = list(Task.objects.select_for_update().filter(pk__in=[task.pk for task in objs]))
        started = [task for task in tasks if task.status == Task.Status.IN_PROGRESS]
        return (*found, [*protected, *(str(TaskInProgressError(task)) for task in started)])

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[Task]
    ) -> HttpResponse | None:
        """Delete in one transaction with the log entries, which Django writes first."""
        with transaction.atomic():
            return delete_selected(self, request, queryset)


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin):
    """Notifications, read-only."""

    list_display = ("text", "user", "created_at", "mailed_at")
    list_select_related = ("user",)
    search_fields = ("text", f"user__{User.USERNAME_FIELD}")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_add_permission
