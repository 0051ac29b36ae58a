"""The admin's list of entries: its filters, and its pages, which are never counted."""

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import InvalidPage, Page, Paginator
from django.db import DataError, connections
from django.db.models import JSONField, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat
from django.http import HttpRequest

from . import presentation, registry
from .models import Entry

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
        number = self.validate_number(number)
        entries: Any = self.object_list
        start = (number - 1) * self.per_page
        try:
            # Only keys: the database would also compute the columns of all entries before them.
            keys = entries.values_list("pk", flat=True)
            some = list(keys[start : start + self.per_page + 1])
        except (DataError, OverflowError) as error:
            # A database cannot be asked for a number that is too large, or a text with a NUL.
            raise InvalidPage(str(error)) from error
        # Only the existence of a next page is known, not the number of pages.
        self.num_pages = number + (len(some) > self.per_page)
        shown = entries.filter(pk__in=some[: self.per_page])
        return Page(list(shown), number, self)


class EntryList(ChangeList):
    """A page of the list, with the names of its objects.

    ``bound`` is how many of the latest entries a filter or a search looks through, when no index
    serves it. So a search without a match ends soon.
    """

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
        page = presentation.Page(self.result_list, related=False)
        for entry in self.result_list:
            entry.page = page


class ModelFilter(admin.SimpleListFilter):
    """Entries of one model."""

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
            # SQLite would use the index on models and objects, and then read and sort all entries
            # of the model. An expression prevents that.
            return queryset.alias(label=Concat("model_label", Value(""))).filter(label=self.value())
        return queryset.filter(model_label=self.value())
