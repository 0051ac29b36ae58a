from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.core.periodic import periodic_jobs

from .models import Handoff, HandoffQuerySet, PeriodicJob, Status
from .state import longest_wait

EVERYWHERE = list(admin.ActionLocation)


@admin.register(Handoff)
class HandoffAdmin(admin.ModelAdmin):
    """The outbox: to look at jobs, to let failed ones run again, and to discard jobs."""

    list_display = ("name", "status", "handed_off", "attempts", "error", "queue")
    list_filter = ("status", "name", "queue", "handed_off_at")
    search_fields = ("id__exact", "name", "arguments", "request_id__exact")
    search_help_text = "A part of a job's name or arguments, an id, or the id of a request"
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    list_per_page = 50
    actions = ("retry", "discard")
    empty_value_display = ""
    fields = (
        "call", "status", "error", "traceback", "return_value", "attempts", "sends", "worker",
        "queue", "priority", "handed_off_by", "request_id", "id", "handed_off_at", "due_at",
        "sent_at", "started_at", "last_attempted_at", "finished_at", "failed_at",
    )  # fmt: skip
    readonly_fields = ("call", "handed_off_by")
    change_list_template = "admin/handoff/handoff/change_list.html"

    class Media:
        css = {"all": ["handoff/handoff.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Handoff | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Handoff | None = None) -> bool:
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Allow it to users with the permission to change jobs."""
        return request.user.has_perm("handoff.change_handoff")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Allow it to users with the permission to delete jobs."""
        return request.user.has_perm("handoff.delete_handoff")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show above the list the number of jobs by status, and the longest wait."""
        counts = dict(Handoff.objects.order_by().values_list("status").annotate(Count("pk")))
        context = {
            "title": "Jobs that were handed off",
            "counts": [(status, counts.get(status, 0)) for status in Status],
            "oldest": longest_wait(Handoff.objects.db),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.action(description="Run again", permissions=["retry"], location=EVERYWHERE)
    def retry(self, request: HttpRequest, queryset: HandoffQuerySet) -> None:
        """Let the chosen jobs that have failed run again."""
        chosen = queryset.count()
        for job in queryset.failed():
            self.log_change(request, job, "Run again.")
        number = queryset.failed().send_again()
        self._tell(request, "Jobs that will run again", number)
        self._tell(request, "Jobs that have not failed, and stay as they are", chosen - number)

    @admin.action(
        description="Discard: never run, delete", permissions=["discard"], location=EVERYWHERE
    )
    def discard(self, request: HttpRequest, queryset: HandoffQuerySet) -> HttpResponse:
        """Delete the chosen jobs, unless they are running or done."""
        chosen = queryset.count()
        self.log_deletions(request, queryset.discardable())
        number, _ = queryset.discardable().delete()
        self._tell(request, "Jobs that were discarded", number)
        self._tell(request, "Jobs that are running or done, and stay", chosen - number)
        return redirect("admin:handoff_handoff_changelist")  # the page of a job may be gone

    @admin.display(description="handed off", ordering="handed_off_at")
    def handed_off(self, job: Handoff) -> str:
        return str(naturaltime(job.handed_off_at))

    def handed_off_by(self, job: Handoff) -> str:
        if not job.actor:
            return "nobody"
        try:
            user = get_user_model()._default_manager.filter(pk=job.actor).first()
        except (ValueError, ValidationError):
            user = None
        return str(user) if user else f"{job.actor} (deleted since)"

    def _tell(self, request: HttpRequest, what: str, number: int) -> None:
        if number:
            self.message_user(request, f"{what}: {number}.", messages.SUCCESS)


@admin.register(PeriodicJob)
class PeriodicJobAdmin(admin.ModelAdmin):
    """The next runs of periodic jobs: to look at, and to move."""

    list_display = ("name", "next_at")
    fields = ("name", "next_at")
    readonly_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicJob]:
        return super().get_queryset(request).filter(name__in=periodic_jobs())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicJob | None = None) -> bool:
        return False
