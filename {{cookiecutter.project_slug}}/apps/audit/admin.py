from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from . import presentation, registry
from .models import Entry

MOST_ACTORS = 50
MOST_LABELS = 4


class ModelFilter(admin.SimpleListFilter):
    """Entries of one model."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        models = registry.audited_models()
        names = [(m._meta.label, str(capfirst(m._meta.verbose_name))) for m in models]
        return sorted(names, key=lambda name: name[1].lower())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        return queryset.filter(model_label=self.value()) if self.value() else queryset


class ActorFilter(admin.SimpleListFilter):
    """Entries of one actor, or of none: commands, jobs and visitors who are not logged in."""

    title = "actor"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        actors = Entry.objects.filter(actor__isnull=False).order_by("actor_name", "actor_id")
        names = dict(actors.values_list("actor_id", "actor_name").distinct()[:MOST_ACTORS])
        return [("nobody", "The system"), *((str(pk), name) for pk, name in names.items())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        if self.value() == "nobody":
            return queryset.filter(actor=None, actor_name="")
        value: Any = self.value()
        try:
            return queryset.filter(actor_id=value) if value else queryset
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    """The trail, to read: nobody adds, changes or deletes an entry here."""

    list_display = ("created_at", "what", "model_name", "object_name", "who", "changed_fields")
    list_filter = ("action", ModelFilter, ActorFilter, "created_at")
    search_fields = ("object_repr", "object_id__exact")
    search_help_text = "The name of an object, or its exact key"
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    list_per_page = 50
    actions = None
    change_form_template = "admin/audit/entry/change_form.html"

    class Media:
        css = {"all": ["audit/audit.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        return False

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Entry | None = None,
    ) -> HttpResponse:
        """Show what has changed, with links to the object, its history and the actor."""
        if obj is not None:
            history = {"model": obj.model_label, "object_id__exact": obj.object_id}
            model = presentation.model_of(obj)
            context |= {
                "title": f"{obj.get_action_display()}: {obj.object_repr}",
                "subtitle": None,
                "action": self.what(obj),
                "model_name": presentation.model_name(obj),
                "changes": presentation.changes_of(obj),
                "object_url": self._url(request, model, obj.object_id, obj),
                "actor_url": self._url(request, get_user_model(), obj.actor_id, obj),
                "history_url": reverse("admin:audit_entry_changelist", query=history),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="action")
    def what(self, entry: Entry) -> str:
        return format_html(
            '<span class="audit-action audit-{}">{}</span>',
            entry.action,
            entry.get_action_display(),
        )

    @admin.display(description="model")
    def model_name(self, entry: Entry) -> str:
        return presentation.model_name(entry)

    @admin.display(description="object")
    def object_name(self, entry: Entry) -> str:
        return entry.object_repr

    @admin.display(description="actor")
    def who(self, entry: Entry) -> str:
        return entry.actor_name or "the system"

    @admin.display(description="fields")
    def changed_fields(self, entry: Entry) -> str:
        """Name what was changed; a new or deleted object has every field in its entry."""
        if entry.action != Entry.Action.UPDATE:
            return ""
        labels = presentation.labels_of(entry)
        more = len(labels) - MOST_LABELS
        return ", ".join(labels[:MOST_LABELS]) + (f" and {more} more" if more > 0 else "")

    def _url(
        self, request: HttpRequest, model: type[Model] | None, pk: Any, entry: Entry
    ) -> str | None:
        """Return the admin page of an object that is still there and may be seen."""
        model_admin = self.admin_site._registry.get(model) if model else None
        if model is None or pk is None or not model_admin:
            return None
        try:
            there = QuerySet(model, using=entry._state.db).filter(pk=pk).exists()
        except (ValueError, ValidationError):
            # The model has got keys of another type since.
            return None
        if not there or not model_admin.has_view_permission(request):
            return None
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        return reverse(name, args=[quote(pk)])
