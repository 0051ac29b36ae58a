from django import template
from django.db.models import Model

from .. import registry

register = template.Library()


@register.filter
def audited_label(instance: Model) -> str:
    """Return the label under which the trail has an object; an empty text if it has none."""
    covering = registry.covering(type(instance))
    return covering[-1].model._meta.label if covering else ""
