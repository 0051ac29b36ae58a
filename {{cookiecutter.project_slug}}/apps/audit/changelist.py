"""The admin's list of entries, page by page, without ever counting them."""

from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Case, F, Func, JSONField, QuerySet, When
from django.http import HttpRequest

from .models import Entry
from .presentation import Page

OLDER_THAN: Final = "before"
NEWER_THAN: Final = "after"


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
