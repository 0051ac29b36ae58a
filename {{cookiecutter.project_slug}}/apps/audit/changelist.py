"""The admin's list of entries: its filters, and its pages, which are never counted."""

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import Case, F, Func, JSONField, QuerySet, Value, When
from django.db.models.functions import Concat
from django.http import HttpRequest

from . import registry
from .models import Entry
from .presentation import Page, model_name

OLDER_THAN: Final = "before"
NEWER_THAN: Final = "after"
# How many of the latest entries are asked who was active lately.
LATELY: Final = 2000


class Names(Func):
    """The names of the members of a JSON object, without their values."""

    output_field = JSONField()
    template = "(SELECT json_group_array(key) FROM json_each(%(expressions)s))"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "(SELECT jsonb_agg(key) FROM jsonb_object_keys(%(expressions)s) AS key)"
        return self.as_sql(compiler, connection, template=template, **context)


# What the list says of changes: the values, which may be long, stay in the database.
TOUCHED: Final = Case(
    When(action=Entry.Action.RENAME, then=F("changes")),
    When(action=Entry.Action.UPDATE, then=Names("changes")),
    output_field=JSONField(),
)


class ModelFilter(admin.SimpleListFilter):
    """Entries of one model."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = [model._meta.label for model in registry.audited_models()]
        names = [(label, model_name(label)) for label in labels]
        return sorted(names, key=lambda name: name[1].lower())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        if not self.value():
            return queryset
        if connections[queryset.db].vendor == "sqlite":
            # It would take the index on models and objects whenever there is one, and then read
            # and sort all entries of a model; an expression keeps it off.
            return queryset.alias(label=Concat("model_label", Value(""))).filter(label=self.value())
        return queryset.filter(model_label=self.value())


class ActorFilter(admin.SimpleListFilter):
    """Entries of one actor, or of none: commands, jobs and visitors who are not logged in."""

    title = "actor, lately"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        entries = Entry.objects.order_by("-pk")
        lately = entries.values_list("actor_id", "actor_name")[:LATELY]
        names = {str(key): name for key, name in reversed(lately) if key is not None}
        chosen: Any = self.value()
        if chosen and chosen != "nobody" and chosen not in names:
            names[chosen] = chosen
            if entry := self.queryset(request, entries).first():
                names[chosen] = entry.actor_name
        sorted_names = sorted(names.items(), key=lambda item: item[1].lower())
        return [("nobody", "The system"), *sorted_names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        value = self.value()
        if not value:
            return queryset
        if value == "nobody":
            return queryset.filter(actor=None, actor_name="")
        pk = get_user_model()._meta.pk
        try:
            key = pk.to_python(value)
            pk.run_validators(key)
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from error
        return queryset.filter(actor_id=key)


class KeysetChangeList(ChangeList):
    """Pages that start at an entry instead of at a number.

    A page far back then costs no more than the first one, and none has to know how many there
    are: to count a million rows takes longer than to show fifty.
    """

    older_url: str | None = None
    newer_url: str | None = None

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Entry]:
        """Keep the place of the page out of what the filters are told."""
        self.place = {name: self.params.pop(name, "") for name in (OLDER_THAN, NEWER_THAN)}
        for name in self.place:
            self.filter_params.pop(name, None)
        queryset: QuerySet[Entry] = super().get_queryset(*args, **kwargs)
        # PostgreSQL's texts hold no such character, and its driver refuses to ask for it.
        if any("\x00" in value for values in self.filter_params.values() for value in values):
            return queryset.none()
        return queryset.defer("changes").annotate(touched=TOUCHED)

    def get_results(self, request: HttpRequest) -> None:
        """Read one entry more than the page shows, to know whether there are further ones."""
        older_than, newer_than = (self._key(name) for name in (OLDER_THAN, NEWER_THAN))
        size, entries = self.list_per_page, self.queryset
        if newer_than is not None:
            entries = entries.filter(pk__gt=newer_than).order_by("pk")
        elif older_than is not None:
            entries = entries.filter(pk__lt=older_than)
        found: list[Any] = list(entries[: size + 1])
        shown, further = found[:size], len(found) > size
        if newer_than is not None:
            shown.reverse()
        if shown and (older_than is not None if newer_than is None else further):
            self.newer_url = self.get_query_string({NEWER_THAN: shown[0].pk})
        if shown and (newer_than is not None or further):
            self.older_url = self.get_query_string({OLDER_THAN: shown[-1].pk})
        self.first_url = self.get_query_string() if older_than or newer_than else None
        page = Page(shown, related=False)
        for entry in shown:
            entry.name = page.name(entry)
        self.result_list, self.result_count = shown, len(shown)
        self.full_result_count, self.show_full_result_count = None, False
        self.show_admin_actions = self.can_show_all = self.multi_page = False

    def _key(self, name: str) -> int | None:
        text = self.place[name]
        try:
            return int(text) if text else None
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
