from datetime import timedelta
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html

from apps.core.periodic import periodic_jobs

from .models import Handoff, HandoffQuerySet, PeriodicJob, Status
from .presentation import age, jobs, short_name
from .state import discard, discardable, state_of

MOST_NAMES: Final = 50

# What happens at ``due_at``, by status.
DUE: Final[dict[str, str]] = {
    Status.WAITING: "To be sent",
    Status.SENT: "Sent again if not started",
    Status.RUNNING: "Run again if its worker has died",
}


class JobFilter(admin.SimpleListFilter):
    """Jobs of one name."""

    title = "job"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = Handoff.objects.order_by("name").values_list("name", flat=True).distinct()
        return [(name, short_name(name)) for name in names[:MOST_NAMES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Handoff]) -> QuerySet[Handoff]:
        name = self.value()
        if not name:
            return queryset
        # PostgreSQL takes NUL in a text for an error.
        return queryset.none() if "\0" in name else queryset.filter(name=name)


@admin.register(Handoff)
class HandoffAdmin(admin.ModelAdmin):
    """The outbox: to read, to let failed jobs run again, and to discard what must not run."""

    list_display = ("job", "state", "handed_off", "tries", "problem", "queue")
    list_filter = ("status", JobFilter, "queue", "handed_off_at")
    search_fields = ("id__exact", "name", "arguments", "request_id__exact")
    search_help_text = "A part of a job's name or arguments, an id, or the id of a request"
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    list_per_page = 50
    actions = ("retry", "discard")
    empty_value_display = ""
    change_list_template = "admin/handoff/handoff/change_list.html"
    change_form_template = "admin/handoff/handoff/change_form.html"

    class Media:
        css = {"all": ["handoff/handoff.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Handoff | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Handoff | None = None) -> bool:
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whoever may change jobs may let them run again."""
        return request.user.has_perm("handoff.change_handoff")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Whoever may delete jobs may discard them."""
        return request.user.has_perm("handoff.delete_handoff")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show above the list how many jobs have which status, and how long the oldest waits."""
        state = state_of([Handoff.objects.db])
        counts = [(status, state.count(status)) for status in Status]
        context = {
            "title": "Jobs that were handed off",
            "counts": counts,
            "oldest": None if state.oldest is None else age(state.oldest),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Handoff | None = None,
    ) -> HttpResponse:
        """Show a job with its times and its last error, and what can be done about it."""
        if obj is not None:
            context |= {
                "title": short_name(obj.name),
                "subtitle": None,
                "state": self.state(obj),
                "actor": self._actor(obj),
                "times": [
                    ("Handed off", obj.handed_off_at),
                    ("Sent to the broker", obj.sent_at),
                    ("First started", obj.started_at),
                    ("Last started", obj.last_attempted_at),
                    ("Done", obj.finished_at),
                    ("Failed", obj.failed_at),
                    (DUE.get(obj.status, "Due"), obj.due_at),
                ],
                "may_retry": obj.status == Status.FAILED and self.has_retry_permission(request),
                "may_discard": discardable(Handoff.objects.filter(pk=obj.pk)).exists()
                and self.has_discard_permission(request),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.action(description="Run again", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: HandoffQuerySet) -> None:
        """Let the chosen jobs that have failed run again."""
        chosen = list(queryset.values_list("pk", flat=True))
        failed = list(Handoff.objects.failed().filter(pk__in=chosen))
        number = Handoff.objects.filter(pk__in=chosen).send_again()
        for job in failed:
            self.log_change(request, job, "Run again.")
        self._tell(request, number, len(chosen), "will run again", "has not failed")

    @admin.action(description="Discard: never run, delete", permissions=["discard"])
    def discard(self, request: HttpRequest, queryset: HandoffQuerySet) -> None:
        """Delete the chosen jobs, unless they are running or done."""
        chosen = queryset.count()
        self.log_deletions(request, discardable(queryset))
        number = discard(queryset)
        self._tell(request, number, chosen, "discarded", "is running or done")

    @admin.display(description="job", ordering="name")
    def job(self, job: Handoff) -> str:
        return format_html('<span title="{}">{}</span>', job.name, short_name(job.name))

    @admin.display(description="status", ordering="status")
    def state(self, job: Handoff) -> str:
        return format_html(
            '<span class="handoff-status handoff-{}">{}</span>',
            job.status,
            job.get_status_display(),
        )

    @admin.display(description="handed off", ordering="handed_off_at")
    def handed_off(self, job: Handoff) -> str:
        at = timezone.localtime(job.handed_off_at)
        return format_html(
            '<time datetime="{}" title="{}">{} ago</time>',
            at.isoformat(),
            f"{at:%Y-%m-%d %H:%M:%S %Z}",
            age(max(timezone.now() - at, timedelta())),
        )

    @admin.display(description="tries", ordering="attempts")
    def tries(self, job: Handoff) -> int:
        return job.attempts

    @admin.display(description="error")
    def problem(self, job: Handoff) -> str:
        return job.error.rpartition(".")[2]

    def _actor(self, job: Handoff) -> str:
        if not job.actor:
            return "nobody"
        try:
            user = get_user_model()._default_manager.filter(pk=job.actor).first()
        except (ValueError, ValidationError):
            user = None
        return str(user) if user else f"{job.actor} (deleted since)"

    def _tell(
        self, request: HttpRequest, number: int, chosen: int, done: str, why_not: str
    ) -> None:
        if number:
            self.message_user(request, f"{jobs(number)} {done}.", messages.SUCCESS)
        if left := chosen - number:
            text = f"{jobs(left)} left alone, because it {why_not}."
            if left > 1:
                text = f"{jobs(left)} left alone: each {why_not}."
            self.message_user(request, text, messages.WARNING)


@admin.register(PeriodicJob)
class PeriodicJobAdmin(admin.ModelAdmin):
    """The next runs of periodic jobs: to read, and to move."""

    list_display = ("name", "next_at")
    fields = ("name", "next_at")
    readonly_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicJob]:
        return super().get_queryset(request).filter(name__in=periodic_jobs())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicJob | None = None) -> bool:
        return False
