"""Figures of the outboxes in the text format of Prometheus."""

from datetime import timedelta
from itertools import chain
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from .backend import outboxes
from .models import Handoff, Status

# Rates are about the last minutes.
MINUTES: Final = 5
RECENTLY: Final = Now() - timedelta(minutes=MINUTES)
# The format knows no other escapes.
ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
COLUMNS: Final[dict[str, Any]] = {
    **{status.value: Count("pk", filter=Q(status=status)) for status in Status},
    "due_for": Now() - Min("due_at", filter=Q(status=Status.WAITING, due_at__lte=Now())),
    "sent_for": Now() - Min("sent_at", filter=Q(status=Status.SENT)),
    "done_lately": Count("pk", filter=Q(finished_at__gt=RECENTLY)),
    "failed_lately": Count("pk", filter=Q(failed_at__gt=RECENTLY)),
}


def figures_text() -> str:
    """Return counts, longest waits and rates by database, queue and job. Every row is counted."""
    metrics = ("jobs", "oldest_seconds", "per_minute")
    lines = {metric: [f"# TYPE handoff_{metric} gauge"] for metric in metrics}

    def add(metric: str, value: float, **labels: str) -> None:
        pairs = ",".join(f'{label}="{text.translate(ESCAPES)}"' for label, text in labels.items())
        name = f"handoff_{metric}" + "{" + pairs + "}"
        lines[metric].append(f"{name} {round(value, 3)}")

    for alias in outboxes():
        rows = Handoff.objects.using(alias).order_by("queue", "name").values("queue", "name")
        groups: Any = rows.annotate(**COLUMNS)
        for group in groups:
            named = {"database": alias, "queue": group["queue"], "job": group["name"]}
            for status in Status.values:
                add("jobs", group[status], **named, status=status)
            waits = [group["due_for"] or timedelta(), group["sent_for"] or timedelta()]
            add("oldest_seconds", max(waits).total_seconds(), **named)
            for status in ("done", "failed"):
                add("per_minute", group[f"{status}_lately"] / MINUTES, **named, status=status)
    return "\n".join([*chain.from_iterable(lines.values()), ""])


def figures(request: HttpRequest) -> HttpResponse:
    """Answer requests with the token. Without a token in the settings there is no such page."""
    if not settings.HANDOFF_FIGURES_TOKEN:
        raise Http404
    expected = f"Bearer {settings.HANDOFF_FIGURES_TOKEN}"
    if not constant_time_compare(request.headers.get("Authorization", ""), expected):
        raise PermissionDenied
    return HttpResponse(figures_text(), content_type="text/plain; version=0.0.4")
