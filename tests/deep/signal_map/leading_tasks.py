"""A job in a separate file."""

from django.tasks import task


@task
def far_job(number: int) -> None:
    """Do something later, in a job of another file."""
