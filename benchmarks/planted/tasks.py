"""The job of an order, as this template has it."""

from django.conf import settings
from django.tasks import task

from .work import carry_out


@task(queue_name=settings.QUEUE)
def fulfil(order_id: str) -> None:
    """Carry out an order."""
    carry_out(order_id)
