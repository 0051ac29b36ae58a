"""How models and fields were called before, for reading entries from before they were renamed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, QuerySet

# The name under which an entry says that the model itself was renamed.
MODEL: Final = ""
LAST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Renaming:
    """What is called otherwise since an entry: a field of the model, or the model itself."""

    label: str
    old: str
    new: str = MODEL


@dataclass(frozen=True, slots=True)
class Span:
    """Entries under one label: those after the id ``after``, up to the id ``until``.

    ``names`` maps names that fields had then to those of today, None for a field that has
    gone. Names that it lacks have not changed.
    """

    label: str
    after: int
    until: int
    names: Mapping[str, str | None]


class Names:
    """All renamings that a trail has, read at once.

    Args:
        entries: the whole trail.
    """

    def __init__(self, entries: QuerySet[Any]) -> None:
        renames = entries.filter(action="rename").order_by("-pk")
        self.renamings = [
            (key, Renaming(label, change["renamed"], new))
            for key, label, changes in renames.values_list("pk", "model_label", "changes")
            for new, change in changes.items()
        ]

    def spans(self, label: str) -> Iterator[Span]:
        """Find the entries of a model under all labels it has had, the latest first."""
        until, names = LAST, dict[str, str | None]()
        for key, one in self.renamings:
            if one.new == MODEL and one.old == label and one.label != label:
                # What has this label before was renamed: it is another model.
                yield Span(label, key, until, names)
                return
            if one.label != label:
                continue
            yield Span(label, key, until, names)
            until = key
            if one.new == MODEL:
                label = one.old
            else:
                names = names | {one.new: None, one.old: names.get(one.new, one.new)}
        yield Span(label, 0, until, names)

    def condition(self, labels: Iterable[str]) -> Q:
        """Return the condition for the entries of some models under all their labels."""
        found = Q(pk__in=())
        for label in labels:
            for span in self.spans(label):
                part = Q(model_label=span.label)
                if span.after:
                    part &= Q(pk__gt=span.after)
                if span.until != LAST:
                    part &= Q(pk__lte=span.until)
                found |= part
        return found

    def label(self, entry: Any) -> str:
        """Return what the model of an entry is called today."""
        label: str = entry.model_label
        # One that is not on the trail is of today.
        last = LAST if entry.pk is None else entry.pk
        for key, one in reversed(self.renamings):
            if key > last and one.new == MODEL and one.old == label:
                label = one.label
        return label

    def changes(self, entry: Any) -> dict[str, Any]:
        """Return the changes of an entry under today's names; what has gone keeps its own."""
        if entry.action == "rename":
            return {}
        for span in self.spans(self.label(entry)):
            if span.after < entry.pk <= span.until:
                return {
                    (span.names.get(name, name) or f"{name} (gone)"): change
                    for name, change in entry.changes.items()
                }
        return dict(entry.changes)
