"""The trail in the admin: lists, entries and histories, to read and nothing else."""

from contextlib import suppress
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import InvalidPage, Page, Paginator
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.models import JSONField, Model, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from . import presentation, registry, triggers
from .bringing_back import Preview
from .forgetting import MOST_OF_A_REASON, CannotForgetError, Person, forget
from .lineage import MODEL
from .models import Entry
from .presentation import harmless
from .restore import CannotRestoreError

HISTORY_PAGE: Final = 20
MAY_FORGET: Final = "audit.forget_person"
# The list names the changed fields. Their values may be long, so they stay in the database.
TOUCHED: Final = {
    "postgresql": """CASE action WHEN 'restore' THEN changes WHEN 'update' THEN
        (SELECT jsonb_agg(key) FROM jsonb_object_keys(changes) AS key) END""",
    "sqlite": """CASE action WHEN 'restore' THEN changes WHEN 'update' THEN
        (SELECT json_group_array(key) FROM json_each(changes)) END""",
}


class Pages(Paginator):
    """Pages up to the 400,000th entry. Entries are never counted, so there may be fewer."""

    count = 400_000

    def page(self, number: int | str) -> Page[Any]:
        """Read one entry more than the page shows, to know whether there are further ones."""
        self.number = number = self.validate_number(number)
        entries: Any = self.object_list
        start = (number - 1) * self.per_page
        # Only keys: the database would also compute the columns of all entries before them.
        some = list(entries.values_list("pk", flat=True)[start : start + self.per_page + 1])
        # Only the existence of a next page is known, not the number of pages.
        self.num_pages = number + (len(some) > self.per_page)
        shown = entries.filter(pk__in=some[: self.per_page])
        return Page(list(shown), number, self)


class EntryList(ChangeList):
    """A page of the list, with the names of its objects."""

    # How many of the latest entries a filter or a search without an index looks through.
    bound = 0

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Entry]:
        entries: QuerySet[Entry] = super().get_queryset(*args, **kwargs)
        filters = self.get_filters_params()
        is_bound = bool(self.query.strip()) or (filters and "actor" not in filters)
        if is_bound and (latest := Entry.objects.only("pk").first()):
            self.bound = Pages.count
            entries = entries.filter(pk__gt=latest.pk - self.bound)
        touched = RawSQL(TOUCHED[connections[entries.db].vendor], [], JSONField())  # noqa: S611
        return entries.defer("changes").annotate(touched=touched)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Keep this order, because any other one would sort the whole trail."""
        return ["-id"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # A page of Django shows a number of results if it is not that of all entries.
        self.full_result_count = self.result_count
        page = presentation.Page(self.result_list)
        for entry in self.result_list:
            entry.page = page


class ModelFilter(admin.SimpleListFilter):
    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = [model._meta.label for model in registry.audited_models()]
        names = [(label, presentation.model_name(label)) for label in labels]
        return sorted(names, key=lambda name: name[1].lower())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        if not self.value():
            return queryset
        if connections[queryset.db].vendor == "sqlite":
            # An expression keeps it off the index, with which it would sort all entries of a model.
            return queryset.alias(label=Concat("model_label", Value(""))).filter(label=self.value())
        return queryset.filter(model_label=self.value())


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    """The trail, read-only. Entries cannot be added, changed or deleted here."""

    list_display = ("created_at", "action", "object_name", "who", "changed_fields")
    list_filter = ("action", ModelFilter, "created_at", "source")
    search_fields = ("object_repr", "object_id__exact", "actor_name")
    search_help_text = (
        f"The name or key of an object, or who acted, in the latest {Pages.count:,} entries"
    )
    sortable_by = ()
    show_full_result_count = False
    # Counts for each choice of each filter would each read the whole trail.
    show_facets = admin.ShowFacets.NEVER
    paginator = Pages
    list_per_page = 50
    actions = None

    class Media:
        extend = False  # The pages need none of the admin's scripts.
        css = {"all": ["audit/audit.css"]}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EntryList]:
        return EntryList

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        of, forget = "of/<str:label>/<path:key>/", "forget/<str:label>/<path:key>/"
        return [
            path(of, wrap(self.history_of_view), name="audit_entry_history_of"),
            path(forget, wrap(self.forget_view), name="audit_entry_forget"),
            path("<int:pk>/bring-back/", wrap(self.bring_back_view), name="audit_entry_bring_back"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        entry = self._entry(request, unquote(object_id))
        return self._show(request, [entry], entry, heading=entry.get_action_display())

    def history_of_view(self, request: HttpRequest, label: str, key: str) -> HttpResponse:
        """Show all that happened to one object, the latest first, with every change."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        key, entries = unquote(key), Pages(Entry.objects.named(label, unquote(key)), HISTORY_PAGE)
        try:
            shown = entries.page(request.GET.get(PAGE_VAR, 1))
        except InvalidPage as error:
            raise Http404(str(error)) from error
        if not shown:
            raise Http404("The trail has no such entry of this object.")
        # The name of the object on this page, also where its entries are those of a parent.
        last_name = next((entry.object_repr for entry in shown if entry.object_repr), "")
        subject = Entry(pk=shown[0].pk, model_label=label, object_id=key, object_repr=last_name)
        context: dict[str, Any] = {"is_history": True, "pages": shown}
        if request.user.has_perm(MAY_FORGET):
            with suppress(CannotForgetError):
                Person(label, key, DEFAULT_DB_ALIAS)
                arguments = [label, quote(key)]
                context["forget_url"] = reverse("admin:audit_entry_forget", args=arguments)
        return self._show(request, shown, subject, heading="Audit trail", **context)

    def bring_back_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what bringing a state back would change, and do it when the form is sent."""
        try:
            preview = Preview(self._entry(request, str(pk)))
        # The last two: the key of the model had another type.
        except (CannotRestoreError, ValidationError, ValueError) as error:
            raise Http404(str(error)) from error
        if not self._may_bring_back(request, preview.state.model, preview.instance):
            raise PermissionDenied
        text = ""
        if request.method == "POST" and preview.is_possible:
            is_done, text = preview.restore(request.POST.get("latest", ""))
            if is_done:
                self.message_user(request, text, messages.SUCCESS)
                return HttpResponseRedirect(history_url(preview.step) or "")
            preview = Preview(preview.entry)
        origin = presentation.origin({MODEL: preview.state.origin})
        context = {"heading": "Bring back", "preview": preview, "error": text, "origin": origin}
        return self._about(request, "bring_back", preview.page, preview.step, **context)

    def forget_view(self, request: HttpRequest, label: str, key: str) -> HttpResponse:
        """Show what would be forgotten of a person; do it when the form is sent with a reason."""
        if not (self.has_view_permission(request) and request.user.has_perm(MAY_FORGET)):
            raise PermissionDenied
        key, fault, reason = unquote(key), "", request.POST.get("reason", "")
        subject = Entry(model_label=label, object_id=key)
        history = history_url(subject) or ""
        try:
            people = [Person(label, key, alias).find() for alias in triggers.trails()]
        except CannotForgetError as error:
            raise Http404(str(error)) from error
        except Error:
            text = "A database with a trail has failed, so nothing was done. Try again later."
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(history)
        if request.method == "POST":
            try:
                count = sum(one.entries for one in forget(label, key, reason))
            except CannotForgetError as error:
                fault = str(error)
            else:
                done = f"Entries with forgotten values: {count:,}."
                self.message_user(request, done if count else "Already forgotten.")
                return HttpResponseRedirect(history)
        return self._about(
            request,
            "forget",
            presentation.Page([subject]),
            subject,
            heading="Forget",
            about=sum(len(one.about) for one in people),
            by=sum(len(one.by) for one in people),
            fields=[
                (presentation.model_name(one), presentation.fields_of(one, audited.personal))
                for one, audited in people[0].audited.items()
            ],
            is_there=any(one.row.exists() for one in people),
            reason=reason,
            longest=MOST_OF_A_REASON,
            error=fault,
        )

    def _entry(self, request: HttpRequest, pk: str) -> Entry:
        if not self.has_view_permission(request):
            raise PermissionDenied
        entry: Entry | None = self.get_object(request, pk)
        if entry is None:
            raise Http404("The trail has no such entry.")
        return entry

    def _show(self, request: Any, entries: Any, subject: Entry, **context: Any) -> HttpResponse:
        """Show entries, with links to their object and their actors."""
        page = presentation.Page([*entries, subject])
        model = presentation.model_of(page.names.label(subject))
        context["may_bring_back"] = self._may_bring_back(request, model, page.object(subject))
        context["rows"] = [
            {
                "entry": entry,
                "actor_name": presentation.actor_name(entry),
                "actor_url": actor_url(entry),
                "changes": page.changes(entry),
                "origin": presentation.origin(entry.changes),
            }
            for entry in entries
        ]
        return self._about(request, "entries", page, subject, **context)

    def _about(
        self, request: HttpRequest, template: str, page: Any, subject: Entry, **context: Any
    ) -> HttpResponse:
        context |= self.admin_site.each_context(request)
        context |= {"opts": self.opts, "media": self.media, "has_view_permission": True}
        context |= {
            "original": (name := page.name(subject)),
            "title": f"{context['heading']}: {name}",
            "model_name": presentation.model_name(page.names.label(subject)),
            "key": subject.object_id,
            "object_url": self._object_url(request, page.object(subject)),
            "history_url": history_url(subject),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"admin/audit/entry/{template}.html", context)

    @admin.display(description="object")
    def object_name(self, entry: Any) -> str:
        """Name an object and its model, and lead to its history."""
        model, url = presentation.model_name(entry.page.names.label(entry)), history_url(entry)
        if url is None:
            return f"{model} {harmless(entry.object_repr)}".rstrip()
        return format_html('{} <a href="{}">{}</a>', model, url, entry.page.name(entry))

    @admin.display(description="actor")
    def who(self, entry: Entry) -> str:
        """Name the actor, and lead to all that they did."""
        return format_html('<a href="{}">{}</a>', actor_url(entry), presentation.actor_name(entry))

    @admin.display(description="fields")
    def changed_fields(self, entry: Any) -> str:
        """Name what was changed; a new or deleted object has every field in its entry."""
        if entry.action == Entry.Action.RESTORE:
            side, pk = presentation.origin(entry.touched or {})
            url = reverse("admin:audit_entry_change", args=[pk])
            return format_html('{} <a href="{}">entry #{}</a>', side, url, pk)
        names = entry.page.names.today(entry, entry.touched or ())
        fields = presentation.fields_of(entry.page.names.label(entry), names)
        return Truncator(", ".join(label for _, _, label in fields)).chars(60)

    def _may_bring_back(self, request: HttpRequest, model: Any, instance: Model | None) -> bool:
        """Whether a user may change the object, or add it again if it was deleted."""
        if model is None or not registry.covering(model):
            return False
        site = self.admin_site
        is_registered, default = site.is_registered(model), admin.ModelAdmin(model, site)
        own = site.get_model_admin(model) if is_registered else default
        if instance is None:
            return own.has_add_permission(request)
        return own.has_change_permission(request, instance)

    def _object_url(self, request: HttpRequest, instance: Model | None) -> str | None:
        """Return the admin page of an object, if there is one that the reader may see."""
        if instance is None or not self.admin_site.is_registered(type(instance)):
            return None
        if not self.admin_site.get_model_admin(type(instance)).has_view_permission(request):
            return None
        name = f"admin:{instance._meta.app_label}_{instance._meta.model_name}_change"
        return reverse(name, args=[quote(instance.pk)])


def history_url(entry: Entry) -> str | None:
    """Return the address of the history of an entry's object; None if it is about no object."""
    arguments = [entry.model_label, quote(entry.object_id)]
    return reverse("admin:audit_entry_history_of", args=arguments) if entry.object_id else None


def actor_url(entry: Entry) -> str:
    """Return the address of the list of all that the actor of an entry did."""
    query: dict[str, Any] = {"actor": entry.actor_id}
    if entry.actor_id is None:
        # There is no account: a user of the database, or the system, which also has no name.
        query = {"actor__isnull": True, "actor_name": entry.actor_name}
    return reverse("admin:audit_entry_changelist", query=query)
