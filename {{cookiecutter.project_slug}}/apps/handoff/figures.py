"""Figures of the outboxes in the text format of Prometheus."""

import json
from collections.abc import Iterable
from datetime import timedelta
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
COLUMNS: Final[dict[str, Any]] = {
    **{status.value: Count("pk", filter=Q(status=status)) for status in Status},
    "due_for": Now() - Min("due_at", filter=Q(status=Status.WAITING, due_at__lte=Now())),
    "sent_for": Now() - Min("sent_at", filter=Q(status=Status.SENT)),
    "done_lately": Count("pk", filter=Q(finished_at__gt=RECENTLY)),
    "failed_lately": Count("pk", filter=Q(failed_at__gt=RECENTLY)),
}


def figures_of(aliases: Iterable[str]) -> str:
    """Return counts, longest waits and rates by database, queue and job. Every row is counted."""
    jobs, oldest, rates = [], [], []
    for alias in aliases:
        rows = Handoff.objects.using(alias).order_by("queue", "name").values("queue", "name")
        groups: Any = rows.annotate(**COLUMNS)
        for group in groups:
            named = {"database": alias, "queue": group["queue"], "job": group["name"]}
            jobs += [_labelled(named | {"status": s}, group[s]) for s in Status.values]
            waits = [group["due_for"] or timedelta(), group["sent_for"] or timedelta()]
            oldest.append(_labelled(named, max(waits).total_seconds()))
            for status in ("done", "failed"):
                rate = group[f"{status}_lately"] / MINUTES
                rates.append(_labelled(named | {"status": status}, rate))
    metrics = {"jobs": jobs, "oldest_seconds": oldest, "per_minute": rates}
    lines = []
    for name, samples in metrics.items():
        lines.append(f"# TYPE handoff_{name} gauge")
        lines += [f"handoff_{name}{sample}" for sample in samples]
    return "\n".join(lines) + "\n"


def _labelled(labels: dict[str, str], value: float) -> str:
    pairs = ",".join(f"{label}={json.dumps(text)}" for label, text in labels.items())
    return "{" + pairs + "} " + str(round(value, 3))


def figures(request: HttpRequest) -> HttpResponse:
    """Answer requests with the token. Without a token in the settings there is no such page.

    Raises:
        Http404: if the settings have no token.
        PermissionDenied: if the request has another token or none, also for staff.
    """
    if not settings.HANDOFF_FIGURES_TOKEN:
        raise Http404
    expected = f"Bearer {settings.HANDOFF_FIGURES_TOKEN}"
    if not constant_time_compare(request.headers.get("Authorization", ""), expected):
        raise PermissionDenied
    return HttpResponse(figures_of(outboxes()), content_type="text/plain; version=0.0.4")
