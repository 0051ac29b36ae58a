from typing import Any

from django.contrib import admin
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.core.periodic import periodic_jobs

from .models import Handoff, HandoffQuerySet, PeriodicJob, Status

EVERYWHERE = list(admin.ActionLocation)


@admin.register(Handoff)
class HandoffAdmin(admin.ModelAdmin):
    """The outbox: to look at jobs, to let failed ones run again, and to discard jobs."""

    list_display = ("name", "status", "handed_off", "attempts", "error", "queue")
    list_filter = ("status", "name", "queue", "handed_off_at")
    search_fields = ("id__exact", "name", "arguments", "request_id__exact")
    search_help_text = "A part of a job's name or arguments, an id, or the id of a request"
    sortable_by = ()
    show_full_result_count = False
    actions = ("retry", "discard")
    fields = (
        "call", "status", "error", "traceback", "return_value", "attempts", "sends", "worker",
        "queue", "priority", "actor", "request_id", "id", "handed_off_at", "due_at",
        "sent_at", "started_at", "last_attempted_at", "finished_at", "failed_at",
    )  # fmt: skip
    readonly_fields = ("call",)

    class Media:
        css = {"all": ["handoff/handoff.css"]}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("handoff.change_handoff")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("handoff.delete_handoff")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the longest wait above the list."""
        wait = f"Longest wait for a worker: {Handoff.objects.longest_wait()}"
        return super().changelist_view(request, {"subtitle": wait, **(extra_context or {})})

    @admin.action(description="Run again", permissions=["retry"], location=EVERYWHERE)
    def retry(self, request: HttpRequest, queryset: HandoffQuerySet) -> None:
        """Let the chosen jobs that have failed run again."""
        chosen = queryset.count()
        for job in queryset.failed():
            self.log_change(request, job, "Run again.")
        number = queryset.send_again()
        self.message_user(request, f"Failed jobs that will run again: {number} of {chosen}.")

    @admin.action(
        description="Discard: never run, delete", permissions=["discard"], location=EVERYWHERE
    )
    def discard(self, request: HttpRequest, queryset: HandoffQuerySet) -> HttpResponse:
        """Delete the chosen jobs, unless they are running or done."""
        chosen = queryset.count()
        queryset = queryset.exclude(status__in=(Status.RUNNING, Status.DONE))
        self.log_deletions(request, queryset)
        number, _ = queryset.delete()
        told = f"Discarded: {number} of {chosen} jobs. Jobs that are running or done stay."
        self.message_user(request, told)
        return redirect("admin:handoff_handoff_changelist")  # the page of a job may be gone

    @admin.display(description="handed off", ordering="handed_off_at")
    def handed_off(self, job: Handoff) -> str:
        return str(naturaltime(job.handed_off_at))


@admin.register(PeriodicJob)
class PeriodicJobAdmin(admin.ModelAdmin):
    """The next runs of periodic jobs: to look at, and to move."""

    list_display = fields = ("name", "next_at")
    readonly_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicJob]:
        return super().get_queryset(request).filter(name__in=periodic_jobs())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_delete_permission = has_add_permission
