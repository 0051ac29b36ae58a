"""The job of an order, as most projects have it: a task of Celery, published by ``on_commit``.

All settings are those of the project, also the broker and the late acknowledgement. Only the
hand-off differs. The worker is started with ``celery -A apps.planted.plain worker``.
"""

from apps.handoff.celery import configuration  # it sets Django up, before the models are imported
from celery import Celery
from celery.contrib.django.task import DjangoTask
from django.conf import settings

from .work import carry_out

app = Celery("plain", task_cls=DjangoTask)
app.conf.update(configuration)


@app.task(name="plain.fulfil", queue=settings.QUEUE)
def fulfil(order_id: str) -> None:
    """Carry out an order."""
    carry_out(order_id)
