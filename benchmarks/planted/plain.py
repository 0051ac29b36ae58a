"""The job of an order, as most projects have it: a task of Celery, published by ``on_commit``.

All settings are those of the project, also the broker and the late acknowledgement. Only the
hand-off differs. The worker is started with ``celery -A apps.planted.plain worker``.
"""

from apps.handoff.celery_app import configuration
from celery import Celery
from celery.contrib.django.task import DjangoTask
from django.conf import settings

app = Celery("plain", task_cls=DjangoTask)
app.conf.update(configuration)


@app.task(name="plain.fulfil", queue=settings.QUEUE)
def fulfil(order_id: str) -> None:
    """Carry out an order."""
    # Django is not yet set up when a worker imports this file.
    from .work import carry_out

    carry_out(order_id)
