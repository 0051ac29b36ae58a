from typing import Any

from django import template
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse

from .. import registry

register = template.Library()


@register.simple_tag(takes_context=True)
def audit_trail_url(context: Any) -> str | None:
    """Return the address of the history of the object that a page of the admin shows, if any."""
    request, instance = context.get("request"), context.get("original")
    model: type[Model] = type(instance)
    covering = registry.covering(model)
    if request is None or not covering or not request.user.has_perm("audit.view_entry"):
        return None
    arguments = [covering[-1].model._meta.label, quote(instance.pk)]
    return reverse("admin:audit_entry_history_of", args=arguments)
