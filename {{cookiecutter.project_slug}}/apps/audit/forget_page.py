"""The page of the admin on which a person is forgotten, after a look at what that means."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from . import triggers
from .forgetting import forget
from .person import CannotForgetError, Person
from .presentation import fields_of, model_name

PERMISSION = "audit.forget_person"


def forget_view(model_admin: Any, request: HttpRequest, label: str, key: str) -> HttpResponse:
    """Show what would be replaced, and do it when the form is sent with a reason."""
    user: Any = request.user
    if not (model_admin.has_view_permission(request) and user.has_perm(PERMISSION)):
        raise PermissionDenied
    try:
        people = [Person(label, key, alias).find() for alias in triggers.trails()]
    except CannotForgetError as error:
        raise Http404(str(error)) from error
    history = reverse("admin:audit_entry_history_of", args=[label, quote(key)])
    fault, reason = "", request.POST.get("reason", "")
    if request.method == "POST":
        try:
            count = sum(one.entries for one in forget(label, key, reason))
            text = f"Values in {count:,} entries were forgotten." if count else "Already forgotten."
            model_admin.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(history)
        except CannotForgetError as error:
            fault = str(error)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "title": f"Forget {model_name(label)} {key}",
        "history_url": history,
        "about": sum(len(one.about) for one in people),
        "by": sum(len(one.by) for one in people),
        "models": [
            (model_name(one), [text for _, _, text in fields_of(one, audited.personal)])
            for one, audited in people[0].audited.items()
        ],
        "is_there": any(one.is_there() for one in people),
        "reason": reason,
        "error": fault,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/audit/entry/forget.html", context)
