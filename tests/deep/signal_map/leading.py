"""Receivers that lead to jobs and signals in every way that the map is to see."""

from functools import partial
from typing import Any

from django.dispatch import Signal
from django.tasks import task

from apps.core.jobs import hand_off

from . import leading_tasks

finished = Signal()


@task
def near_job(number: int) -> None:
    """Do something later, in a job of this file."""


def directly(sender: Any, **kwargs: Any) -> None:
    """Hand a job off."""
    hand_off(near_job, 1)


def by_module(sender: Any, **kwargs: Any) -> None:
    """Hand a job off that is named with its module."""
    leading_tasks.far_job.enqueue(1)


def by_helper(sender: Any, **kwargs: Any) -> None:
    """Let another function hand a job off."""
    first_helper()


def first_helper() -> None:
    second_helper()


def second_helper() -> None:
    hand_off(leading_tasks.far_job, 1)
    first_helper()  # round in circles


def when_it_runs(sender: Any, **kwargs: Any) -> None:
    """Import the job only when it is needed."""
    from .leading_tasks import far_job

    far_job.enqueue(1)


def by_dotted_import(sender: Any, **kwargs: Any) -> None:
    """Import the module of the job only when it is needed."""
    import apps.signal_map.tests.deep.leading_tasks

    apps.signal_map.tests.deep.leading_tasks.far_job.enqueue(1)


def inside(sender: Any, **kwargs: Any) -> None:
    """Hand a job off in a function inside this one."""

    def later() -> None:
        for number in range(3):
            hand_off(near_job, number)

    later()


class Service:
    """Hands off in a method."""

    @staticmethod
    def notify() -> None:
        """Hand a job off."""
        hand_off(near_job, 1)


def by_method(sender: Any, **kwargs: Any) -> None:
    """Let a method hand a job off."""
    Service.notify()


def by_partial(sender: Any, **kwargs: Any) -> None:
    """Wrap the job before it is handed off."""
    partial(near_job.enqueue, 1)()


def sends(sender: Any, **kwargs: Any) -> None:
    """Send a signal of the project."""
    finished.send(sender)


def to_nothing(sender: Any, **kwargs: Any) -> None:
    """Lead nowhere, though there is an attribute of the name of a job."""
    kwargs["instance"].far_job()


def around(job: Any) -> Any:
    """Make a receiver around a job."""

    def enclosing(sender: Any, **kwargs: Any) -> None:
        """Hand a job off that was given from outside."""
        hand_off(job, 1)

    return enclosing
