"""The admin's list of entries, page by page, without ever counting them."""

from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Entry

OLDER_THAN: Final = "before"
NEWER_THAN: Final = "after"


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
        return queryset

    def get_results(self, request: HttpRequest) -> None:
        """Read one entry more than the page shows, to know whether there are further ones."""
        older_than, newer_than = (self._key(name) for name in (OLDER_THAN, NEWER_THAN))
        size = self.list_per_page
        if newer_than is not None:
            found = list(self.queryset.filter(pk__gt=newer_than).order_by("pk")[: size + 1])
            entries = found[:size][::-1]
            newer, older = len(found) > size, True
        else:
            rest = self.queryset
            if older_than is not None:
                rest = rest.filter(pk__lt=older_than)
            found = list(rest[: size + 1])
            entries = found[:size]
            newer, older = older_than is not None, len(found) > size
        if entries and newer:
            self.newer_url = self.get_query_string({NEWER_THAN: entries[0].pk})
        if entries and older:
            self.older_url = self.get_query_string({OLDER_THAN: entries[-1].pk})
        self.first_url = self.get_query_string() if older_than or newer_than else None
        self.result_list = entries
        self.result_count = len(entries)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = self.can_show_all = self.multi_page = False

    def _key(self, name: str) -> int | None:
        text = self.place[name]
        try:
            return int(text) if text else None
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
