"""A program that hands jobs off, as a web process would: ``producer.py NOTES QUEUE [JOB]``."""

import sys
from contextlib import suppress

import django

django.setup()

from django.db import transaction  # noqa: E402
from django.tasks import Task  # noqa: E402

from apps.accounts.models import User  # noqa: E402
from apps.core.actor import acting_as  # noqa: E402
from apps.handoff.shared_tasks import hand_off  # noqa: E402
from apps.handoff.tests.deep import tasks  # noqa: E402


def main(notes: str, queue: str, only: str = "") -> None:
    """Hand off jobs of each kind, or a certain one."""

    def here(job: Task) -> Task:
        return job.using(queue_name=queue)

    ann, _ = User.objects.get_or_create(username="ann")
    if only:
        with acting_as(ann):
            here(getattr(tasks, only)).enqueue(notes)
        return
    gone = User.objects.create_user(f"gone from {queue}")
    # In one transaction, so that no worker is quicker than the deletion.
    with acting_as(gone), transaction.atomic():
        here(tasks.record).enqueue(notes, "deleted")
        User.objects.filter(pk=gone.pk).delete()
    leaver = User.objects.create_user(f"leaver of {queue}")
    with acting_as(leaver), transaction.atomic():
        here(tasks.record).enqueue(notes, "own account")
        leaver.delete()
    with acting_as(ann):
        here(tasks.die).enqueue(notes)
        here(tasks.fail).enqueue(notes, times=2)
        here(tasks.fail).enqueue(notes, times=99)
        here(tasks.exhaust).enqueue(notes)
        with suppress(ZeroDivisionError), transaction.atomic():
            here(tasks.record).enqueue(notes, "rolled back")
            raise ZeroDivisionError
        here(tasks.record_later).enqueue(notes, "coroutine")
        here(tasks.add).enqueue(1, 2)
        hand_off(tasks.shared, notes, "shared")
        with transaction.atomic():
            here(tasks.record).enqueue(notes, "committed")


if __name__ == "__main__":
    main(*sys.argv[1:])
