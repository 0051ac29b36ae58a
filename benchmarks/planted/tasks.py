"""The job of an order, as this template has it, and those of ticks."""

from django.conf import settings
from django.tasks import Task, TaskContext, task

from .work import carry_out


@task(queue_name=settings.QUEUE)
def fulfil(order_id: str) -> None:
    """Carry out an order."""
    carry_out(order_id)


def periodic(name: str) -> Task:
    """Make a job of this name, which carries out a tick."""

    def tick(context: TaskContext) -> None:
        carry_out(context.task_result.id)

    tick.__name__ = tick.__qualname__ = name
    return task(queue_name=settings.QUEUE, takes_context=True)(tick)


globals().update({name: periodic(name) for name in map("tick_{}".format, range(settings.TICKING))})
