from typing import Any

from django import template
from django.contrib.admin.utils import quote, unquote
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.urls import reverse

from .. import registry
from ..forget_page import PERMISSION
from ..person import CannotForgetError, Person

register = template.Library()


@register.simple_tag(takes_context=True)
def audit_trail_url(context: Any) -> str | None:
    """Return the address of the history of the object that a page of the admin shows.

    None where its model is not audited, and for people who may not see the trail.
    """
    request, instance = context.get("request"), context.get("original")
    model: type[Model] = type(instance)
    covering = registry.covering(model)
    if request is None or not covering or not request.user.has_perm("audit.view_entry"):
        return None
    arguments = [covering[-1].model._meta.label, quote(instance.pk)]
    return reverse("admin:audit_entry_history_of", args=arguments)


@register.simple_tag(takes_context=True)
def audit_forget_url(context: Any) -> str | None:
    """Return the address of the page that forgets the person whose history is shown.

    None for people who may not, and for models without personal fields.
    """
    request = context["request"]
    match = request.resolver_match
    if "label" not in match.kwargs or not request.user.has_perm(PERMISSION):
        return None
    try:
        Person(match.kwargs["label"], unquote(match.kwargs["key"]), DEFAULT_DB_ALIAS)
    except CannotForgetError:
        return None
    return reverse("admin:audit_entry_forget", kwargs=match.kwargs)
